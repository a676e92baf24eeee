"""The story of the made-up clinic: who its patients are, and a week told on its Monday at nine."""

from dataclasses import dataclass

# Valid to every check of a phone number, and as fictitious as valid numbers can look.
PATIENTS: dict[str, str] = {
    "Adriana Nogueira": "5511999990001",
    "Alice Monteiro": "5511999990002",
    "Ana Beatriz Lima": "5511999990003",
    "Antônio Carvalho": "5511999990004",
    "Beatriz Figueiredo": "5511999990005",
    "Bruna Cardoso": "5511999990006",
    "Bruno Siqueira": "5511999990007",
    "Caio Vasconcelos": "5511999990008",
    "Camila Rocha": "5511999990009",
    "Carlos Eduardo Pinto": "5511999990010",
    "Cecília Prado": "5511999990011",
    "Davi Moraes": "5511999990012",
    "Débora Antunes": "5511999990013",
    "Eduardo Sampaio": "5511999990014",
    "Elisa Barreto": "5511999990015",
    "Fernanda Queiroz": "5511999990016",
    "Francisco Arruda": "5511999990017",
    "Gabriel Peixoto": "5511999990018",
    "Gustavo Leal": "5513999990019",
    "Heitor Bastos": "5511999990020",
    "Helena Duarte": "5511999990021",
    "Isabela Franco": "5511999990022",
    "João Pedro Amaral": "5511999990023",
    "Júlia Camargo": "5519999990024",
    "Larissa Mendonça": "5511999990025",
    "Lucas Guimarães": "5511999990026",
    "Luíza Tavares": "5511999990027",
    "Marcelo Drummond": "5521999990028",
    "Mariana Castilho": "5511999990029",
    "Miguel Fontes": "5511999990030",
    "Natália Vieira": "5511999990031",
    "Otávio Nunes": "5511999990032",
    "Patrícia Salles": "5511999990033",
    "Paulo Henrique Reis": "551199990034",  # WhatsApp's own id, without the ninth digit
    "Rafael Teixeira": "5511999990035",
    "Renata Borges": "(11) 99999-0036",  # typed at the reception
    "Sofia Aguiar": "5531999990037",
    "Thiago Bittencourt": "999990038",  # nobody asked for the area code
    "Valentina Coelho": "5511999990039",
    "": "5511999990040",  # wrote on WhatsApp and never said a name
}

#: Days of the story, counted from its Monday.
FRI_BEFORE, SAT_BEFORE, MON, TUE, WED, THU, FRI = -3, -2, 0, 1, 2, 3, 4


@dataclass(frozen=True, slots=True)
class Visit:
    """One visit of the story; times are the clinic's.

    Attributes:
        patient: a key of ``PATIENTS``.
        day: counted from the Monday.
        at: the time of day, ``HH:MM``.
        lead: how many days before the visit it was booked.
        status: SmartIA's; None for NULL.
        minutes: how long it lasts; None for NULL.
        by_chat: it was booked in the patient's chat of ``CHATS``.
        notes: what the receptionist wrote when she changed it.
    """

    patient: str
    day: int
    at: str
    lead: int
    status: str | None = "SCHEDULED"
    minutes: int | None = 60
    by_chat: bool = False
    notes: str | None = None


@dataclass(frozen=True, slots=True)
class Chat:
    """One chat with SmartIA's bot; patient and bot speak in turn, the patient first."""

    patient: str
    day: int
    at: str
    intent: str
    said: tuple[str, ...]
    state: str = "DONE"


@dataclass(frozen=True, slots=True)
class Answer:
    """What a patient of the story answers to the reminder; ``taps``: on this button of it."""

    patient: str
    said: str
    taps: bool = False


#: The week, told at nine on its Monday.
STORY: tuple[Visit, ...] = (
    # On Friday two visits were left open; the visits of Saturday were marked.
    Visit("Eduardo Sampaio", FRI_BEFORE, "16:00", 9),
    Visit("Elisa Barreto", FRI_BEFORE, "17:00", 4, "CONFIRMED"),
    Visit("Adriana Nogueira", SAT_BEFORE, "09:00", 6, "COMPLETED"),
    Visit("Gabriel Peixoto", SAT_BEFORE, "10:00", 15, "COMPLETED"),
    Visit("Bruna Cardoso", SAT_BEFORE, "10:30", 33, "NO_SHOW"),  # not heard of since
    Visit("Caio Vasconcelos", SAT_BEFORE, "11:00", 18, "NO_SHOW"),  # has booked Tuesday
    Visit("Davi Moraes", SAT_BEFORE, "11:00", 5, "NO_SHOW", 30),  # came late, was seen at noon
    Visit("Davi Moraes", SAT_BEFORE, "12:00", 0, "COMPLETED", 30, notes="Chegou atrasado."),
    Visit("Isabela Franco", SAT_BEFORE, "12:00", 11, "CANCELLED"),
    # Early this Monday two did not come and nobody has said so; one is with the doctor.
    Visit("Alice Monteiro", MON, "07:00", 10, "COMPLETED"),
    Visit("Antônio Carvalho", MON, "07:00", 24, "CONFIRMED"),
    Visit("Bruno Siqueira", MON, "07:30", 8, minutes=30),
    Visit("Beatriz Figueiredo", MON, "08:00", 3, "COMPLETED"),
    Visit("Carlos Eduardo Pinto", MON, "08:30", 7),
    Visit("Cecília Prado", MON, "09:30", 5, "CANCELLED"),
    # In two hours' reach; booked on Sunday night by chat, too late for a day's notice.
    Visit("Débora Antunes", MON, "10:00", 1, by_chat=True),
    Visit("Fernanda Queiroz", MON, "10:30", 1, "CONFIRMED"),
    Visit("Francisco Arruda", MON, "11:00", 1, minutes=30),
    Visit("Gustavo Leal", MON, "11:30", 1),
    Visit("Larissa Mendonça", MON, "14:00", 12, "CANCELLED"),
    # From six hours ahead to Tuesday night: what the daily run at nine reminds of.
    Visit("Heitor Bastos", MON, "15:00", 6),
    Visit("João Pedro Amaral", MON, "15:30", 13, "CONFIRMED"),
    Visit("Júlia Camargo", MON, "16:00", 1),
    Visit("Lucas Guimarães", MON, "17:00", 9, "CANCELLED"),
    Visit("Luíza Tavares", MON, "18:00", 4),
    Visit("Marcelo Drummond", TUE, "07:30", 21),
    Visit("Mariana Castilho", TUE, "08:00", 2, "CONFIRMED"),
    Visit("Miguel Fontes", TUE, "08:30", 32),
    Visit("Helena Duarte", TUE, "09:00", 14, by_chat=True),
    Visit("", TUE, "09:30", 5),
    Visit("Thiago Bittencourt", TUE, "10:00", 8),
    Visit("Paulo Henrique Reis", TUE, "10:30", 17),
    Visit("Renata Borges", TUE, "11:00", 6, "CONFIRMED"),
    Visit("Natália Vieira", TUE, "11:30", 3, minutes=None),
    Visit("Otávio Nunes", TUE, "13:00", 9, None),
    Visit("Patrícia Salles", TUE, "13:30", 12, "CANCELLED"),
    Visit("Caio Vasconcelos", TUE, "14:00", 2),
    Visit("Sofia Aguiar", TUE, "14:30", 10),
    Visit("Helena Duarte", TUE, "15:00", 14, by_chat=True),
    Visit("Isabela Franco", TUE, "16:30", 7, notes="Remarcada: era segunda-feira às 16:30."),
    Visit("Valentina Coelho", TUE, "18:00", 40),
    Visit("Adriana Nogueira", TUE, "19:00", 3),
    # Later in the week; two chats have left something for the receptionist to tidy up.
    Visit("Gabriel Peixoto", WED, "09:00", 16),
    Visit("Larissa Mendonça", WED, "11:00", 9),
    Visit("Rafael Teixeira", WED, "15:00", 20),  # asked by chat to cancel it
    Visit("Camila Rocha", THU, "10:00", 19),  # moved by chat to Friday, and still here
    Visit("Cecília Prado", THU, "16:00", 5, "CONFIRMED"),
    Visit("Camila Rocha", FRI, "10:00", 6, by_chat=True),
    Visit("Patrícia Salles", FRI, "14:00", 31),
    Visit("Lucas Guimarães", FRI, "17:30", 9),
)

#: One chat a patient; the last one is still going on as the story begins.
CHATS: tuple[Chat, ...] = (
    Chat(
        "Helena Duarte", -13, "19:00", "schedule",
        ("Quero marcar duas consultas no mesmo dia", "Terça às 9:00 e às 15:00?", "Perfeito"),
    ),
    Chat(
        "Camila Rocha", -2, "19:05", "reschedule",
        ("Preciso mudar minha consulta de quinta", "Sexta às 10:00, pode ser?", "Pode sim"),
    ),
    Chat(
        "Débora Antunes", -1, "19:02", "schedule",
        ("Oi, tem horário amanhã?", "Temos às 10:00. Posso marcar?", "Pode!", "Marcado."),
    ),
    Chat(
        "Rafael Teixeira", -1, "20:31", "cancel",
        ("Não vou conseguir ir na quarta", "Obrigado por avisar."),
    ),
    Chat(
        "Heitor Bastos", 0, "08:51", "schedule",
        ("Queria marcar um retorno", "Para qual dia?"),
        state="ASK_DATE",
    ),
)  # fmt: skip

#: What becomes of messages to some patients; everybody else's are sent, delivered and read.
BECOMES: dict[str, tuple[str, ...]] = {
    "Paulo Henrique Reis": ("sent", "failed"),
    "Luíza Tavares": ("sent", "delivered"),
    "Caio Vasconcelos": ("sent", "delivered"),
}

#: What patients answer on the Monday; all of them have a visit until Tuesday night.
ANSWERS: tuple[Answer, ...] = (
    Answer("Helena Duarte", "Confirmar presença", taps=True),
    Answer("Heitor Bastos", "Confirmar presença", taps=True),
    Answer("Miguel Fontes", "Não poderei ir", taps=True),
    Answer("João Pedro Amaral", "Infelizmente não vou conseguir ir hoje"),
    Answer("Valentina Coelho", "Posso levar a minha filha?"),
    Answer("Júlia Camargo", "SAIR"),
)
