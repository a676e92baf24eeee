-- The four tables of a SmartIA database on SQLite, as SmartIA's own models create them.
-- Enums are VARCHAR with the member's name; SQLAlchemy stores a date as text,
-- 'YYYY-MM-DD HH:MM:SS.ffffff', and there is no index on appointment_date.

CREATE TABLE patients (
    id INTEGER NOT NULL,
    phone_number VARCHAR(20) NOT NULL,
    name VARCHAR(255),
    email VARCHAR(255),
    created_at DATETIME DEFAULT CURRENT_TIMESTAMP,
    updated_at DATETIME,
    notes TEXT,
    PRIMARY KEY (id),
    UNIQUE (phone_number)
);

CREATE TABLE conversations (
    id INTEGER NOT NULL,
    patient_id INTEGER NOT NULL,
    state VARCHAR(10),
    intent VARCHAR(50),
    context_data TEXT,
    created_at DATETIME DEFAULT CURRENT_TIMESTAMP,
    updated_at DATETIME,
    PRIMARY KEY (id),
    FOREIGN KEY (patient_id) REFERENCES patients (id)
);

CREATE TABLE interactions (
    id INTEGER NOT NULL,
    conversation_id INTEGER NOT NULL,
    patient_id INTEGER NOT NULL,
    type VARCHAR(8) NOT NULL,
    message_text TEXT,
    message_type VARCHAR(20),
    provider_message_id VARCHAR(255),
    created_at DATETIME DEFAULT CURRENT_TIMESTAMP,
    PRIMARY KEY (id),
    FOREIGN KEY (conversation_id) REFERENCES conversations (id),
    FOREIGN KEY (patient_id) REFERENCES patients (id)
);

CREATE TABLE appointments (
    id INTEGER NOT NULL,
    patient_id INTEGER NOT NULL,
    conversation_id INTEGER,
    calendar_event_id VARCHAR(255),
    title VARCHAR(255) NOT NULL,
    description TEXT,
    appointment_date DATETIME NOT NULL,
    duration_minutes INTEGER,
    status VARCHAR(9),
    created_at DATETIME DEFAULT CURRENT_TIMESTAMP,
    updated_at DATETIME,
    notes TEXT,
    PRIMARY KEY (id),
    FOREIGN KEY (patient_id) REFERENCES patients (id),
    FOREIGN KEY (conversation_id) REFERENCES conversations (id)
);
