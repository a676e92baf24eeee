"""What patients write, and what it says: nothing is guessed, and nothing is read twice."""

import time
from datetime import UTC, datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from smartia_jobs.catalogue.words import load_words
from smartia_jobs.inbox.words import meaning_of, read
from smartia_jobs.incoming import Meaning, PatientAnswer, Source
from smartia_jobs.vocabulary import ANY_NAME, WordList

WORDS = load_words({}, clinic_name="Clínica Aurora")

# What Brazilian patients answer to "Podemos contar com a sua presença?".
SAID = {
    Meaning.CONFIRM: """
        sim · s · ss · sii · simm · sim sim · confirmo · confirmado · confirmada · confirmar
        · confirma · pode confirmar · ta confirmado · presenca confirmada · ok · okay · okk
        · blz · beleza
        · certo · certinho · claro · com certeza · combinado · fechado · perfeito · positivo · isso
        · isso mesmo · estarei la · estarei ai · estarei presente · vou sim · vou estar · irei
        · irei sim · to indo · ta ok · ta bom · tudo certo · joia · 1 · 👍 · ✅ · 👌 · 👍 ✅ 👌
        · Sim, estarei aí · Sim, confirmo a presença. Até lá!
        · Ok, combinado 👍 · Tá bom, bom dia! · SIM! Vou sim""",
    Meaning.CANCEL: """
        nao · n · nn · naum · nao vou · nao vou poder · nao poderei · nao posso · nao consigo
        · nao vai dar · nao irei · nao comparecerei · cancela · cancelar · cancele · pode cancelar
        · quero cancelar · desmarca · desmarcar · infelizmente nao · tive um imprevisto
        · estou doente · 2 · 👎 · ❌ · não, não vou poder · Desculpe, não consigo ir 🙏
        · ñ · não não · cancelar cancelar · n vou poder · nn vou · hj não consigo ir
        · Infelizmente não vou poder ir amanhã · Não vou, estou doente""",
    Meaning.MOVE: """
        remarcar · quero remarcar · reagendar · mudar o horario · trocar o dia · tem outro horario?
        · pode ser mais tarde? · adiar · antecipar · 3 · Bom dia! Posso remarcar?
        · Não vou poder, preciso remarcar""",
    Meaning.NOT_ME: """
        quem e? · nao sou a marina · numero errado · engano · nao marquei nada · nao conheco
        · não agendei essa consulta · Boa tarde, aqui não é o João""",
    Meaning.STOP: """
        sair · pare · parar · stop · descadastrar · remover · bloquear · chega
        · nao quero mais receber · nao quero receber mensagens · nao me mande mais
        · para de me mandar mensagem · me tira da lista · me remova · SAIR · PARE. · PARE PARE PARE
        · Stop por favor · Não quero mais receber mensagens, obrigada""",
    Meaning.START: "quero receber · Quero voltar a receber mensagens · start",
    Meaning.COURTESY: """
        obrigada · obg · brigado · vlw · bom dia · oi · amem · 🙏 · ❤️ · 🙏 ❤️ · Muito obrigada, viu!
        · Olá, Clínica Aurora · Oi, bom dia""",
    Meaning.UNCLEAR: """
        vou atrasar 15 min · qual o endereco? · precisa de jejum? · aceita unimed?
        · que horas mesmo? · quanto custa?""",
}

# What a hasty reader gets wrong.
UNCLEAR = """
    sim, mas posso remarcar? · está confirmado? · confirmado? · não vou faltar
    · não esqueci, vou sim · não precisa, já confirmei · já confirmei por telefone
    · sim, pode cancelar · ok, cancela · pode confirmar o endereço? · não quero cancelar
    · não consigo cancelar · não vou sair de casa hoje · para · para amanhã
    · minha mãe não vai poder · meu filho vai sim · só posso à tarde · vou confirmar
    · confirmo amanhã · sim e não · sim ou não · não sim · 👍👎 · Sim 👎 · 11 · 12 · 1 2 · s i m
    · oi? · sair? · cancelar? · sim? · sim¿ · sim؟ · Sim ❓ · não conheço o endereço
    · hoje · infelizmente · infelizmente hoje · hoje não cancelar · não vou mais cancelar
    · não estou doente · estou doente mas vou · não sou a marina mas aviso · quero · 😡
    · 🤷 · . · ? · … · 預約 · מחר
"""


def phrases(text: str) -> list[str]:
    return [phrase.strip() for phrase in text.split("·")]


def answer(type: str, text: str | None = None) -> PatientAnswer:
    said_at = datetime(2026, 11, 23, 12, tzinfo=UTC)
    return PatientAnswer("wamid.IN", Source.WEBHOOK, "5511987654321", type, said_at, text)


@pytest.mark.parametrize("meaning", Meaning)
def test_what_patients_usually_answer_is_understood(meaning: Meaning) -> None:
    meanings = {text: read(text, WORDS, asked=True) for text in phrases(SAID[meaning])}

    assert meanings == dict.fromkeys(meanings, meaning)


def test_what_is_not_surely_understood_is_unclear() -> None:
    meanings = {text: read(text, WORDS, asked=True) for text in phrases(UNCLEAR)}

    assert meanings == dict.fromkeys(meanings, Meaning.UNCLEAR)


def test_a_short_no_a_digit_and_a_thumb_count_only_as_an_answer_to_a_question() -> None:
    unasked = ("n", "nn", "ñ", "não", "não, obrigado", "naum", "1", "2", "3", "👎", "❌")

    assert {text: read(text, WORDS, asked=False) for text in unasked} == dict.fromkeys(
        unasked, Meaning.UNCLEAR
    )
    assert read("não, obrigado", WORDS, asked=True) is Meaning.CANCEL
    assert read("👍", WORDS, asked=False) is Meaning.COURTESY
    assert read("ok", WORDS, asked=False) is Meaning.CONFIRM
    assert read("não vou poder", WORDS, asked=False) is Meaning.CANCEL


def test_who_has_confirmed_already_says_nothing_new_by_saying_so() -> None:
    for text in (
        "já confirmei",
        "Não precisa, já confirmei",
        "Já confirmei por telefone, obrigada",
    ):
        assert read(text, WORDS, asked=True, confirmed=True) is Meaning.COURTESY
        assert read(text, WORDS, asked=True) is Meaning.UNCLEAR


def test_to_cancel_is_never_to_opt_out() -> None:
    stops = [phrase for phrase, found in WORDS.lists.items() if found is WordList.STOP]

    assert stops
    assert not any("cancel" in phrase or "desmarc" in phrase for phrase in stops)


@pytest.mark.parametrize(
    ("type", "text", "meaning"),
    [
        ("reaction", "👍", Meaning.CONFIRM),
        ("reaction", "✅", Meaning.CONFIRM),
        ("reaction", "👍🏽", Meaning.CONFIRM),
        ("reaction", "❤️", Meaning.COURTESY),
        ("reaction", "😢", Meaning.UNCLEAR),
        ("reaction", None, Meaning.COURTESY),
        ("button", "Sim", Meaning.CONFIRM),
        ("text", None, Meaning.UNCLEAR),
        ("audio", None, Meaning.UNCLEAR),
        ("image", "sim", Meaning.UNCLEAR),
        ("unsupported", "sim", Meaning.UNCLEAR),
    ],
    ids=lambda value: ascii(value),
)
def test_a_reaction_is_its_emoji_and_only_words_are_read(
    type: str, text: str | None, meaning: Meaning
) -> None:
    assert meaning_of(answer(type, text), WORDS, asked=True) is meaning


def test_a_thumb_below_what_asked_nothing_is_courtesy() -> None:
    assert meaning_of(answer("reaction", "👍"), WORDS, asked=False) is Meaning.COURTESY


def test_what_cannot_be_seen_parts_no_word_and_what_is_no_text_is_unclear() -> None:
    for text in (
        "s\u200bi\u200dm",
        "\u202esim\u202c",
        "\ufeffsim\u2060",
        "\u200fs\u00adim\u200e",
        "s\u3164im",
    ):
        assert read(text, WORDS, asked=False) is Meaning.CONFIRM, ascii(text)
    for nothing in (None, "", " \n", "\u200b", 1, b"sim", ["sim"], "\ud800", "\x00"):
        assert read(nothing, WORDS, asked=True) is Meaning.UNCLEAR, ascii(nothing)


def test_the_longest_messages_are_read_in_no_time() -> None:
    longest = [
        "🤷" * 4096,
        "👍✅" * 2048,
        "🙏❤" * 2048,
        "a\u0301\u0323" * 1365,
        "oi " * 1365,
        "e" * 4096,
    ]
    started = time.process_time()

    meanings = [read(text, WORDS, asked=False) for text in longest]

    assert time.process_time() - started < 1
    assert meanings == [
        Meaning.UNCLEAR,
        Meaning.COURTESY,
        Meaning.COURTESY,
        Meaning.UNCLEAR,
        Meaning.COURTESY,
        Meaning.UNCLEAR,
    ]
    assert read("sim" + " " * 4094, WORDS, asked=True) is Meaning.UNCLEAR


PHRASES = sorted(phrase.replace(ANY_NAME, "marina") for phrase in WORDS.lists)
CONFIRMATIONS = [one for one in PHRASES if read(one, WORDS, asked=True) is Meaning.CONFIRM]
COURTESIES = [phrase for phrase, found in WORDS.lists.items() if found is WordList.COURTESY]

polite = st.lists(st.sampled_from(COURTESIES), max_size=3).map(" ".join)
unseen_or_accent = st.text("\u0300\u0301\u0303\u0308\u200b\u200d\u200e\u202e", max_size=2)
punctuation = st.text(" .,!;:-…*_~'\"()\n\t", min_size=1, max_size=3)


@st.composite
def typed(draw: st.DrawFn, phrase: str) -> str:
    """Write a phrase as somebody in a hurry does."""
    letters = []
    for letter in phrase:
        many = draw(st.integers(1, 4)) if letter.isalpha() else 1
        cased = draw(st.sampled_from([letter, letter.upper()]))
        letters.append(cased * many + (draw(unseen_or_accent) if letter.isalpha() else ""))
    written = "".join(draw(punctuation) if letter == " " else letter for letter in letters)
    return draw(polite) + draw(punctuation) + written + draw(punctuation) + draw(polite)


@given(st.data(), st.sampled_from(PHRASES), st.booleans())
def test_courtesy_case_accents_and_punctuation_never_change_a_meaning(
    data: st.DataObject, phrase: str, asked: bool
) -> None:
    text = data.draw(typed(phrase))

    assert read(text, WORDS, asked=asked) is read(phrase, WORDS, asked=asked)


@given(
    phrase=st.sampled_from(CONFIRMATIONS),
    doubt=st.sampled_from(["mas", "porém", "só que", "se", "ou", "?", "não", "ñ", "nunca", "nem"]),
    place=st.integers(0, 6),
)
@example(phrase="sim", doubt="não", place=0)
@example(phrase="vou", doubt="não", place=0)
@example(phrase="👍", doubt="?", place=1)
def test_a_doubt_or_a_no_anywhere_leaves_no_confirmation(
    phrase: str, doubt: str, place: int
) -> None:
    words = phrase.split()
    text = " ".join([*words[:place], doubt, *words[place:]])

    assert read(text, WORDS, asked=True) is not Meaning.CONFIRM


@given(st.text(max_size=60))
def test_any_text_at_all_has_a_meaning(text: str) -> None:
    assert read(text, WORDS, asked=True) in Meaning
