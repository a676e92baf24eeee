"""Whom a message greets: the first name, or nobody rather than somebody else."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartia_jobs.catalogue import name_words
from smartia_jobs.catalogue.names import first_name, folded

#: Frequent ones, short ones, and ones that resemble a word of the lists.
_NAMES = """
Maria José Ana João Antônio Francisco Carlos Paulo Pedro Lucas Luiz Luís Marcos Gabriel Rafael
Francisca Antônia Adriana Juliana Márcia Fernanda Patrícia Aline Sandra Camila Amanda Bruna
Jéssica Letícia Júlia Luciana Vanessa Mariana Gabriela Vera Vitória Larissa Cláudia Beatriz Rita
Luana Sônia Renata Eliane Josefa Simone Natália Cristiane Carla Débora Rosângela Jaqueline Rosa
Daniela Aparecida Marlene Terezinha Raimundo Sebastião Benedito Dulce Célia Miguel Arthur Heitor
Davi Bernardo Theo Ravi Noah Ian Yan Kauã Cauã Iago Ítalo Ícaro Ueslei Wesley Washington
Wlademir Yvy Lu Zé Jô Bia Enzo Gil Ed Eva Ada Ivo Ari Léa Isa Ísis Iá Bo Ly Mei Yuki Sol Luz
Santa Santina Seuly Tiago Tiana Paiva Maely Rnaldo Contessa Testa Semíramis Nadir Nair Novak
Clienta Doriane Dacia Desirée Deusa Primavera Filomena Irmina Padma Profeta Domingos Dominique
Casemira Salomé Conceição Duarte
"""

names = st.sampled_from(_NAMES.split())


def typed(word: str) -> st.SearchStrategy[str]:
    """Return a word of the lists as somebody may have typed it."""
    return st.builds(
        lambda form, before, after: before + form(word) + after,
        st.sampled_from([str, str.upper, str.title]),
        st.sampled_from(["", " ", "\u200b"]),
        st.sampled_from(["", ".", ":", " "]),
    )


def one_of(words: frozenset[str]) -> st.SearchStrategy[str]:
    return st.sampled_from(sorted(words)).flatmap(typed)


titles = one_of(name_words.TITLES | frozenset({"vó", "vô", "irmão", "capitão", "sr(a)"}))
somebody_else = one_of(
    name_words.RELATIONS | frozenset({"bebê", "mãe", "avó", "gêmeo", "recém-nascido", "R.N", "RN1"})
)
nobody = one_of(
    name_words.PLACEHOLDERS
    | frozenset({"não", "usuário", "óbito", "N/I", "s/n", "avaliação", "xx"})
)


@pytest.mark.parametrize(
    ("stored", "greeted"),
    [
        # titles
        ("Seu José", "José"),
        ("Tia Lu", "Lu"),
        ("Vó Bia", "Bia"),
        ("Dona Benedita", "Benedita"),
        ("Profª. Célia", "Célia"),
        ("Dª Maria", "Maria"),
        ("Sr(a). Ana", "Ana"),
        ("Dr.João", "João"),
        ("Pe. Fábio", "Fábio"),
        ("IR. DULCE", "Dulce"),
        ("Seu", None),
        ("Tia do João", None),
        ("Prof. de Inglês", None),
        ("Dr. Silva", None),
        # somebody else
        ("RN de Ana Souza", None),
        ("R.N. Ana", None),
        ("RN1 de Ana", None),
        ("Recém-nascido de Ana", None),
        ("BEBE DE ANA", None),
        ("Natimorto de Ana", None),
        ("Filha de Carla", None),
        ("Mãe da Júlia", None),
        ("Esposa do Pedro", None),
        ("G1 Ana", None),
        # abbreviations and initials
        ("Mª Aparecida", None),
        ("M.ª José", None),
        ("Ma. Aparecida", None),
        ("Ma Aparecida", None),
        ("Antº Carlos", None),
        ("Fco Alves", None),
        ("Frc. Alves", None),
        ("JP Souza", None),
        ("JP", None),
        ("D Souza", None),
        # nobody
        ("WhatsApp", None),
        ("Whats Maria", None),
        ("Novo paciente", None),
        ("Não informado", None),
        ("NI", None),
        ("xxx", None),
        ("aaaa", None),
        ("Usuário 12", None),
        ("Falecido João", None),
        ("Encaixe", None),
        # a company, a surname
        ("Padaria do Zé", None),
        ("Santa Casa", None),
        ("Souza & Filhos LTDA", None),
        ("SOUZA ANA", None),
        ("da Silva", None),
        # names all the same
        ("Santa Maria Souza", "Santa"),
        ("Maria WhatsApp", "Maria"),
        ("Ana RN", "Ana"),
        ("João Silva ME", "João"),
        ("LU", "Lu"),
        ("Mei Tanaka", "Mei"),
    ],
)
def test_receptions_write_more_than_names_into_a_name_column(
    stored: str, greeted: str | None
) -> None:
    assert first_name(stored) == greeted


@given(names, st.sampled_from(["", " Souza", " da Silva", " DE ANA", " 2", " (mãe)", " 👶"]))
def test_a_name_is_greeted_whatever_follows_it(name: str, rest: str) -> None:
    assert first_name(name + rest) == name


@given(st.lists(titles, min_size=1, max_size=3), names)
def test_titles_before_a_name_are_skipped(before: list[str], name: str) -> None:
    written = " ".join(before).replace(":", "")

    assert first_name(f"{written} {name}") == name


@given(titles, st.sampled_from(["de", "da", "do", "dos", "DA"]), names)
def test_what_a_title_belongs_to_is_no_name(title: str, particle: str, name: str) -> None:
    assert first_name(f"{title} {particle} {name}") is None


@given(somebody_else, st.sampled_from(["", "de", "da", "do"]), names)
def test_nobody_is_greeted_by_the_name_of_somebody_else(
    relation: str, particle: str, name: str
) -> None:
    assert first_name(f"{relation} {particle} {name}") is None


@given(nobody, names | st.just(""))
def test_nobody_is_greeted_where_nobody_knew_the_name(word: str, rest: str) -> None:
    assert first_name(f"{word} {rest}") is None


@given(names, one_of(name_words.COMPANIES), names)
def test_a_company_is_not_greeted(before: str, company: str, after: str) -> None:
    assert first_name(f"{before} {company} {after}") is None


@given(st.text(max_size=60) | st.lists(names | titles | somebody_else | nobody).map(" ".join))
def test_whatever_is_stored_the_greeting_is_one_plain_word_of_no_list(stored: str) -> None:
    name = first_name(stored)

    if name is not None:
        assert len(name.split()) == 1
        assert name[0].isalpha()
        assert not any(character.isdigit() or character in ".:@" for character in name)
        assert not any(folded(name) in words for words in LISTS.values())
        assert first_name(name) in {name, None}


LISTS = {name: words for name, words in vars(name_words).items() if isinstance(words, frozenset)}


@pytest.mark.parametrize("words", LISTS.values(), ids=LISTS)
def test_the_lists_hold_words_as_they_are_looked_up(words: frozenset[str]) -> None:
    assert words
    assert {word for word in words if folded(word) != word} == set()


@given(names)
def test_case_and_accents_change_nothing_in_what_is_looked_up(name: str) -> None:
    assert folded(name.upper()) == folded(name) == folded(unicodedata.normalize("NFD", name))
