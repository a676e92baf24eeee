"""From what the clinic stored to what WhatsApp is given, or a reason why not."""

import re
import subprocess
import sys

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from smartia_jobs.message import Phone, Unsendable
from smartia_jobs.phones import mask_phone, parse_phone

#: Every Brazilian area code in use.
DDDS = [
    *range(11, 20),
    *(21, 22, 24, 27, 28),
    *(31, 32, 33, 34, 35, 37, 38),
    *range(41, 50),
    *(51, 53, 54, 55),
    *range(61, 70),
    *(71, 73, 74, 75, 77, 79),
    *range(81, 90),
    *range(91, 100),
]
ddds = st.sampled_from(DDDS)
subscribers = st.integers(60_000_000, 99_999_999)  # the last eight digits of a mobile


def parsed(raw: str | None, country: str = "BR") -> Phone:
    phone = parse_phone(raw, country)
    assert isinstance(phone, Phone)
    return phone


def refused(raw: str | None, country: str = "BR") -> str:
    answer = parse_phone(raw, country)
    assert isinstance(answer, Unsendable)
    return answer.reason


@pytest.mark.parametrize(
    "raw",
    [
        "5511987654321",
        "+5511987654321",
        "+55 11 98765-4321",
        "+55 (11) 98765-4321",
        "(+55) 11 98765-4321",
        "+55 (0)11 98765-4321",
        "55 11 98765-4321",
        "005511987654321",
        "00 55 11 98765-4321",
        "11987654321",
        "11 98765-4321",
        "11 9 8765 4321",
        "11.98765.4321",
        "(11) 98765-4321",
        "(011) 98765-4321",
        "011 98765-4321",
        "011987654321",
        "0 15 11 98765-4321",
        "  11 98765-4321\n",
        "\u202a+55 11 98765-4321\u202c",  # copied from a contact list
        "+55\u00a011\u00a098765\u20114321",  # no-break space and hyphen
    ],
)
def test_a_brazilian_mobile_is_read_however_it_was_written(raw: str) -> None:
    assert parsed(raw) == Phone("+5511987654321", "+5511987654321")


@pytest.mark.parametrize(
    "raw",
    [
        "5511987654321@c.us",
        "5511987654321@s.whatsapp.net",
        "5511987654321:12@s.whatsapp.net",  # with the device
        "+5511987654321@C.US",
        "whatsapp:+5511987654321",
        "tel:+55-11-98765-4321",
        "tel:+55(11)98765.4321",
        "TEL:+55 11 98765-4321",
        "TEL;TYPE=CELL,VOICE:+5511987654321",
        "sms:+5511987654321",
        "smsto:5511987654321",
        "callto:+5511987654321",
        "Cel.: (11) 98765-4321",
        "WhatsApp: 11 98765-4321",
        "https://wa.me/5511987654321",
        "wa.me/+5511987654321",
        "https://wa.me/5511987654321?text=Oi%2C%20ligue%20para%201133334444",
        "https://api.whatsapp.com/send?phone=5511987654321&text=Oi",
        "https://api.whatsapp.com/send/?text=Oi&phone=%2B5511987654321&type=phone_number",
        "https://web.whatsapp.com/send?phone=5511987654321",
        "whatsapp://send?phone=5511987654321",
        "'5511987654321",  # as spreadsheets mark a text
        '"+5511987654321"',
        "5511987654321.0",  # as a spreadsheet's number
        "１１９８７６５４３２１",  # full width
        "＋５５　（１１）　９８７６５－４３２１",
        "١١٩٨٧٦٥٤٣٢١",  # Arabic-Indic
        "११९८७६५४३२१",  # Devanagari
        "whatsapp:＋５５１１９８７６５４３２１",
    ],
)
def test_one_number_is_read_out_of_what_programs_make_of_it(raw: str) -> None:
    assert parsed(raw) == Phone("+5511987654321", "+5511987654321")
    assert mask_phone(raw) in ("+55 11 9****-4321", "****-4321")


@pytest.mark.parametrize("raw", ["{}@c.us", "{}@s.whatsapp.net", "https://wa.me/{}"])
def test_an_id_that_can_be_read_here_and_abroad_is_refused(raw: str) -> None:
    peruvian_or_of_porto_alegre = "51987654321"

    assert "write it with +" in refused(raw.format(peruvian_or_of_porto_alegre))
    assert parsed(raw.format(f"+{peruvian_or_of_porto_alegre}")).wire == "+51987654321"
    assert parsed(raw.format("11987654321")).wire == "+5511987654321"
    assert parsed(raw.format("14155552671")).wire == "+14155552671"


@pytest.mark.parametrize(
    "raw", ["551187654321", "+551187654321", "55 11 8765-4321", "00551187654321"]
)
def test_an_id_without_ninth_digit_is_sent_as_stored_and_compared_with_it(raw: str) -> None:
    assert parsed(raw) == Phone(wire="+551187654321", canonical="+5511987654321")


@pytest.mark.parametrize(
    "raw", ["1133334444", "(11) 3333-4444", "551133334444", "+55 11 3333 4444"]
)
def test_a_landline_can_have_whatsapp(raw: str) -> None:
    assert parsed(raw) == Phone("+551133334444", "+551133334444")


@pytest.mark.parametrize(
    ("raw", "wire"),
    [
        ("55987654321", "+5555987654321"),
        ("(55) 98765-4321", "+5555987654321"),
        ("055 98765-4321", "+5555987654321"),
        ("5532211234", "+555532211234"),
        ("5555987654321", "+5555987654321"),
        ("555587654321", "+555587654321"),
    ],
)
def test_the_area_code_that_equals_the_country_code_is_no_trap(raw: str, wire: str) -> None:
    assert parsed(raw).wire == wire


@given(ddds, subscribers)
def test_every_spelling_of_a_mobile_is_one_person(ddd: int, subscriber: int) -> None:
    first, last = f"{subscriber}"[:4], f"{subscriber}"[4:]
    spellings = [
        f"55{ddd}9{subscriber}",
        f"+55{ddd}9{subscriber}",
        f"0055{ddd}9{subscriber}",
        f"{ddd}9{subscriber}",
        f"0{ddd}9{subscriber}",
        f"({ddd}) 9{first}-{last}",
        f"+55 {ddd} 9{first}-{last}",
        f"55{ddd}{subscriber}",
        f"+55 {ddd} {first}-{last}",
    ]

    assert {parsed(raw).canonical for raw in spellings} == {f"+55{ddd}9{subscriber}"}


@pytest.mark.parametrize(("country", "code"), [("BR", 55), ("PT", 351), ("ES", 34), ("US", 1)])
@given(st.from_regex(r"[2-9][0-9]{8,10}", fullmatch=True))
def test_more_digits_than_a_number_has_begin_with_the_country_code(
    country: str, code: int, national: str
) -> None:
    longest = {"BR": 11, "PT": 9, "ES": 9, "US": 10}[country]
    assume(len(f"{code}{national}") > longest)

    bare, with_plus = (parse_phone(f"{mark}{code}{national}", country) for mark in ("", "+"))

    # The reason may differ: without a plus it says what is wrong in this country.
    assert bare == with_plus or (isinstance(bare, Unsendable) and isinstance(with_plus, Unsendable))


@given(ddds, st.integers(20_000_000, 59_999_999))
def test_every_landline_is_itself_with_or_without_country_code(ddd: int, subscriber: int) -> None:
    phone = parse_phone(f"55{ddd}{subscriber}", "BR")
    assume(isinstance(phone, Phone))  # a few ranges are not given out

    assert phone == parse_phone(f"{ddd}{subscriber}", "BR")
    assert phone == Phone(f"+55{ddd}{subscriber}", f"+55{ddd}{subscriber}")


@given(ddds, subscribers)
def test_reading_again_what_was_read_changes_nothing(ddd: int, subscriber: int) -> None:
    phone = parsed(f"55{ddd}{subscriber}")

    assert parsed(phone.wire) == phone
    assert parsed(phone.wire.removeprefix("+")) == phone
    assert parsed(phone.canonical) == Phone(phone.canonical, phone.canonical)


@pytest.mark.parametrize("ddd", sorted(set(range(10, 100)) - set(DDDS)))
def test_an_area_code_that_does_not_exist_is_refused(ddd: int) -> None:
    assert "No person can have this number" in refused(f"({ddd}) 98765-4321")
    assert "No person can have this number" in refused(f"+55 {ddd} 98765-4321")


@pytest.mark.parametrize(
    "raw",
    [
        "14155552671",  # United States
        "351912345678",  # Portugal
        "393331234567",  # Italy
        "4915112345678",  # Germany
        "5491123456789",  # Argentina
        "595981123456",  # Paraguay
        "56987654321",  # Chile
        "8613812345678",  # China
    ],
)
def test_a_foreign_whatsapp_id_is_read_although_it_has_no_plus(raw: str) -> None:
    assert parsed(raw) == Phone(f"+{raw}", f"+{raw}")
    assert parsed(f"00{raw}") == Phone(f"+{raw}", f"+{raw}")


@pytest.mark.parametrize(
    ("raw", "abroad"),
    [
        ("51987654321", "Peru"),
        ("66987654321", "Thailand"),
        ("84987654321", "Vietnam"),
        ("33987654321", "France"),
        ("4520123456", "Denmark"),
    ],
)
def test_what_is_a_number_here_is_not_read_as_one_abroad(raw: str, abroad: str) -> None:
    assert parsed(raw).wire == f"+55{raw}", abroad
    assert parsed(f"+{raw}").wire == f"+{raw}", abroad


@pytest.mark.parametrize(
    "raw",
    ["1187654321", "(11) 8765-4321", "4791234567", "47 9123-4567", "6591234567"],
)
def test_a_mobile_that_lost_its_ninth_digit_goes_to_nobody_abroad(raw: str) -> None:
    assert "ninth digit" in refused(raw)


@pytest.mark.parametrize("raw", ["351 912 345 678", "(351) 912345678", "1 415 555 2671"])
def test_a_foreign_number_that_somebody_typed_needs_its_plus(raw: str) -> None:
    assert "needs +" in refused(raw)
    assert parsed(f"+{raw}" if raw[0] != "(" else "+351 912345678")


@pytest.mark.parametrize("raw", ["33145678901", "442079460958", "493012345678"])
def test_a_foreign_landline_is_no_whatsapp_id(raw: str) -> None:
    assert "needs +" in refused(raw)


@pytest.mark.parametrize(
    "raw", ["0800 123 4567", "0300 123 4567", "+55 800 123 4567", "+55 4004 1234", "0900123456"]
)
def test_a_service_is_nobodys_phone(raw: str) -> None:
    assert "No person" in refused(raw)


@example("30000000")  # a landline without area code, or a service that has none
@example("951708345")  # read as international, a mobile in Myanmar
@given(st.from_regex(r"[1-9][0-9]{0,8}", fullmatch=True))
def test_a_number_without_area_code_is_nobodys(raw: str) -> None:
    assert "area code" in refused(raw)


@pytest.mark.parametrize("raw", [None, "", "   ", "\t\n", "\u200b\u202a"])
def test_no_number_is_said_to_be_none(raw: str | None) -> None:
    assert refused(raw) == "No phone number is recorded."


@pytest.mark.parametrize(
    "raw",
    [
        "ramal 12",
        "11 98765-4321 ramal 3",
        "1133334444 x12",
        "11 98765-4321 (Maria)",
        "11 98765-4321 / 11 3333-4444",
        "11987654321,1133334444",
        "11987654321;1133334444",
        "11987654321+5511987654321",
        "++5511987654321",
        "1-800-FLOWERS",
        "11 9876²-4321",
        "120363023456789012@g.us",  # a group
        "123456789012345@lid",  # an id that is no number
        "5511987654321@example.com",
        "sip:5511987654321@example.com",
        "5511987654321@c.us, 551133334444@c.us",
        "tel:+5511987654321 tel:+551133334444",
        "tel:11987654321;ext=12",
        "tel:11987654321;phone-context=+55",
        "TEL;waid=5511987654321:+551133334444",
        "Tel.: 11 98765-4321 / Cel.: 11 3333-4444",
        "https://wa.me/message/ABC123",
        "https://wa.me/5511987654321/551133334444",
        "https://api.whatsapp.com/send?text=5511987654321",
        "https://api.whatsapp.com/send?phone=5511987654321&phone=551133334444",
        "https://example.com/send?phone=5511987654321",
        "https://wa.me.example.com/5511987654321",
        "5.511987654321E+12",
        "+",
        "-",
        "()",
        "não tem",
        "#" * 100_000,
    ],
)
def test_a_field_that_holds_something_else_is_refused(raw: str) -> None:
    assert "one phone number and nothing else" in refused(raw)


@pytest.mark.parametrize(
    "raw",
    [
        "11987654321 1133334444",
        "1198765432111987654321",
        "3333444498765432",
        "1133334444 12",
        "119876543210",
        "5511187654321",
        "550000000000",
        "0000000000",
        "00000000000000",
        "99999999999999",
        "11111111111",
        "+11987654321",
        "+0 11 98765-4321",
        "+5500000000000",
        "+999123456789",
        "0800 123 4567 89",
        "1" * 100_000,
    ],
)
def test_digits_that_are_no_number_are_refused(raw: str) -> None:
    assert isinstance(parse_phone(raw, "BR"), Unsendable)


@given(st.text() | st.text("0123456789+-() ", max_size=20))
def test_whatever_the_field_holds_the_answer_is_a_number_or_a_reason(raw: str) -> None:
    answer = parse_phone(raw, "BR")

    if isinstance(answer, Phone):
        assert re.fullmatch(r"\+[1-9][0-9]{7,14}", answer.wire)
        assert re.fullmatch(r"\+[1-9][0-9]{7,14}", answer.canonical)
        assert parse_phone(answer.wire, "BR") == answer
    else:
        assert re.fullmatch(r"[A-Z][^0-9]+\.", answer.reason)


@pytest.mark.parametrize(
    ("raw", "country", "wire", "canonical"),
    [
        ("912 345 678", "PT", "+351912345678", "+351912345678"),
        ("351912345678", "PT", "+351912345678", "+351912345678"),
        ("551187654321", "PT", "+551187654321", "+5511987654321"),
        ("(415) 555-2671", "US", "+14155552671", "+14155552671"),
        ("04 12 34 56 78", "AU", "+61412345678", "+61412345678"),
    ],
)
def test_a_clinic_elsewhere_reads_numbers_of_its_own_country(
    raw: str, country: str, wire: str, canonical: str
) -> None:
    assert parsed(raw, country) == Phone(wire, canonical)


@pytest.mark.parametrize(
    ("raw", "masked"),
    [
        ("5511987654321", "+55 11 9****-4321"),
        ("+55 (11) 98765-4321", "+55 11 9****-4321"),
        ("551187654321", "+55 11 ****-4321"),
        ("11987654321", "****-4321"),
        ("(11) 98765-4321", "****-4321"),
        ("+14155552671", "****-2671"),
        ("98765432", "****-5432"),
        ("4321", "****"),
        ("1234567", "****"),
        ("11 98765-4321 / 11 3333-4444", "****"),
        ("ligar para Maria", "****"),
        ("1" * 16, "****"),
        ("", "(none)"),
        (None, "(none)"),
    ],
)
def test_a_screen_shows_little_of_a_number(raw: str | None, masked: str) -> None:
    assert mask_phone(raw) == masked


@given(st.text() | st.text("0123456789+-() ", max_size=20))
def test_a_mask_never_shows_more_than_country_area_and_four_digits(raw: str) -> None:
    assert re.fullmatch(r"\(none\)|\*{4}|(\+55 \d\d \d?)?\*{4}-\d{4}", mask_phone(raw))


def test_masking_does_not_load_the_numbering_plans() -> None:
    program = (
        "import sys; from smartia_jobs.phones import mask_phone;"
        "mask_phone('5511987654321'); print('phonenumbers' in sys.modules)"
    )

    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    assert run.stdout == "False\n"
