-- The four tables of a SmartIA database on PostgreSQL, as SmartIA's own models create them.
-- Enums are native types holding the member's name; there is no index on appointment_date.

CREATE TYPE conversationstate AS ENUM ('NEW_INTENT', 'ASK_DATE', 'ASK_TIME', 'CONFIRM', 'DONE');

CREATE TYPE interactiontype AS ENUM ('INCOMING', 'OUTGOING');

CREATE TYPE appointmentstatus AS ENUM (
    'SCHEDULED', 'CONFIRMED', 'COMPLETED', 'CANCELLED', 'NO_SHOW'
);

CREATE TABLE patients (
    id SERIAL NOT NULL,
    phone_number VARCHAR(20) NOT NULL,
    name VARCHAR(255),
    email VARCHAR(255),
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now(),
    updated_at TIMESTAMP WITH TIME ZONE,
    notes TEXT,
    PRIMARY KEY (id),
    UNIQUE (phone_number)
);

CREATE TABLE conversations (
    id SERIAL NOT NULL,
    patient_id INTEGER NOT NULL,
    state conversationstate,
    intent VARCHAR(50),
    context_data TEXT,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now(),
    updated_at TIMESTAMP WITH TIME ZONE,
    PRIMARY KEY (id),
    FOREIGN KEY (patient_id) REFERENCES patients (id)
);

CREATE TABLE interactions (
    id SERIAL NOT NULL,
    conversation_id INTEGER NOT NULL,
    patient_id INTEGER NOT NULL,
    type interactiontype NOT NULL,
    message_text TEXT,
    message_type VARCHAR(20),
    provider_message_id VARCHAR(255),
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now(),
    PRIMARY KEY (id),
    FOREIGN KEY (conversation_id) REFERENCES conversations (id),
    FOREIGN KEY (patient_id) REFERENCES patients (id)
);

CREATE TABLE appointments (
    id SERIAL NOT NULL,
    patient_id INTEGER NOT NULL,
    conversation_id INTEGER,
    calendar_event_id VARCHAR(255),
    title VARCHAR(255) NOT NULL,
    description TEXT,
    appointment_date TIMESTAMP WITH TIME ZONE NOT NULL,
    duration_minutes INTEGER,
    status appointmentstatus,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now(),
    updated_at TIMESTAMP WITH TIME ZONE,
    notes TEXT,
    PRIMARY KEY (id),
    FOREIGN KEY (patient_id) REFERENCES patients (id),
    FOREIGN KEY (conversation_id) REFERENCES conversations (id)
);
