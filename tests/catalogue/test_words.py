"""The lists of what patients answer: what is shipped, and what a clinic may add."""

from pathlib import Path

import pytest

from smartia_jobs.catalogue.loading import load_catalogue
from smartia_jobs.catalogue.words import load_words, problems
from smartia_jobs.errors import ConfigurationError, ExitStatus
from smartia_jobs.vocabulary import Vocabulary, WordList, spell


def list_of(text: str, words: Vocabulary) -> WordList | None:
    return words.list_of(words.in_full(spell(text).words))


def test_nothing_is_wrong_in_the_shipped_lists_and_each_has_words() -> None:
    words = load_words({})

    assert not list(problems({}))
    assert set(words.lists.values()) == set(WordList)


def test_a_clinic_adds_its_own_words_to_those_that_are_shipped(tmp_path: Path) -> None:
    path = tmp_path / "mensagens.toml"
    path.write_text(
        '[words]\nconfirm = ["Boa noite, tô dentro!"]\ncourtesy = ["Dra. Paula"]\n'
        'not_me = ["isto é da {{nome}}"]\nmove = ["dá pra ser sábado?"]\n',
        "utf-8",
    )

    words = load_words(load_catalogue(path).own_words, clinic_name="Clínica pra Você")

    assert list_of("to dentro", words) is WordList.CONFIRM
    assert list_of("dra paula", words) is WordList.COURTESY
    assert list_of("clinica para voce", words) is WordList.COURTESY
    assert list_of("isto e da marina", words) is WordList.NOT_ME
    assert list_of("da pra ser sabado", words) is WordList.MOVE
    assert list_of("sim", words) is WordList.YES


def test_a_clinic_may_repeat_a_shipped_word_in_its_meaning_and_changes_nothing_by_it() -> None:
    words = load_words({"confirm": ["sim", "1", "👍🏽"], "cancel": ["não"]})

    assert words.lists == load_words({}).lists


def test_a_clinic_that_is_called_like_an_answer_takes_nothing_from_it() -> None:
    assert list_of("sim", load_words({}, clinic_name="Sim!")) is WordList.YES


@pytest.mark.parametrize(
    ("own", "problem"),
    [
        ({"stop": ["Cancelar!"]}, "stop: 'Cancelar!' is in cancel as well; a word has one meaning"),
        ({"courtesy": ["não"]}, "'não' is in courtesy as well"),
        (
            {"confirm": ["talvez"], "move": ["Talvez…"]},
            "move: 'Talvez…' is in confirm as well; a word has one meaning",
        ),
        ({"confirm": ["hoje não vou"]}, "confirm: 'hoje não vou' is in cancel as well"),
        ({"courtesy": ["sim, combinado"]}, "courtesy: 'sim, combinado' is in confirm as well"),
        ({"courtesy": ["não quero", "quero"]}, "is in stop as well"),
        ({"confirm": ["Bom dia!"]}, "confirm: 'Bom dia!' is in courtesy as well"),
        ({"confirn": ["vamos"]}, "confirn: is unknown; did you mean confirm?"),
        ({"unclear": ["talvez"]}, "unclear: is unknown; there are confirm, yes,"),
        ({"confirm": "vamos"}, 'confirm: must be a list of texts in quotes, like ["'),
        ({"confirm": ["vamos", 1]}, "confirm: must be a list of texts in quotes"),
        ({"confirm": [" …\u200b"]}, "has neither letters, digits nor an emoji"),
        ({"confirm": ["confirmado?"]}, "'confirmado?' is a question, which means nothing here"),
        ({"confirm": ["sou a {{nome}}"]}, "{{nome}} may stand in not_me alone"),
        (
            {"not_me": ["sou {{nome}} agora"]},
            "{{nome}} may stand in not_me alone, once, as the last",
        ),
        ({"not_me": ["sou a {{paciente}}"]}, "{{nome}} may stand in not_me alone"),
        ({"not_me": ["{{nome}}"]}, "{{nome}} may stand in not_me alone"),
        ([], "must be a section, begun by [words]"),
        ("sim", "must be a section, begun by [words]"),
    ],
    ids=lambda value: ascii(value)[:50],
)
def test_a_mistake_in_a_clinics_own_words_is_named(own: object, problem: str) -> None:
    found = list(problems(own))

    assert any(problem in one for one in found), found
    with pytest.raises(ConfigurationError) as caught:
        load_words(own)
    assert caught.value.exit_status is ExitStatus.CONFIGURATION


def test_a_word_in_two_meanings_ends_every_job_at_its_start(tmp_path: Path) -> None:
    path = tmp_path / "mensagens.toml"
    path.write_text('[words]\nstop = ["cancelar"]\n', "utf-8")

    with pytest.raises(ConfigurationError) as caught:
        load_catalogue(path)

    assert caught.value.problems == (
        "mensagens.toml [words]: stop: 'cancelar' is in cancel as well; a word has one meaning: "
        "take it out of one of them, or out of yours when the other is shipped",
    )


def test_an_empty_value_for_the_section_is_also_a_mistake(tmp_path: Path) -> None:
    path = tmp_path / "mensagens.toml"
    path.write_text("words = false\n", "utf-8")

    with pytest.raises(ConfigurationError, match=r"\[words\]: must be a section"):
        load_catalogue(path)
