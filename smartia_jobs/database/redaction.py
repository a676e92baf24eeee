"""What a database says of an error, without the values of any row.

PostgreSQL quotes values in its DETAIL and CONTEXT, which are left out, and in some first lines.
Names of tables, columns and rules are quoted as well, and stay.
"""

import re
from collections.abc import Collection
from typing import Any

#: Words before a quoted name, as PostgreSQL writes them in English and in Portuguese.
_NAMED = (
    r"column|relation|constraint|table|schema|type|function|role|user|database|sequence|index"
    r"|trigger|view|encoding|parameter|operator|extension|policy|domain|language|server"
    r"|coluna|relação|restrição|tabela|esquema|tipo|função|papel|usuário|banco de dados|sequência"
    r"|índice|gatilho|visão|codificação|parâmetro|operador|extensão|política|domínio|servidor"
)
# The patterns are compiled when they are first used: a run rarely meets an error.
_QUOTED = rf"(?P<named>\b(?:{_NAMED}) )?[\"“«](?P<inside>[^\"”»]*)[\"”»]"
#: Bytes of a text that is in another encoding.
_BYTES = r"0x[0-9a-f]{2}(?: 0x[0-9a-f]{2})*"
_CAPITALISED = r"(?:[^\W\d_]['’])?[A-ZÀ-ÖØ-Þ][^\W\d_]+(?:['’-][^\W\d_]+)*"
#: Whatever may be a value in the words of a clinic's own trigger: a quotation, text in
#: brackets, a number or address, a name with its capital.
_PERHAPS_A_VALUE = (
    rf"[\"“«‘].*[\"”»’]|(?<!\w)'.*'(?!\w)|[(\[{{].*[)\]}}]|\S*[\d@]\S*"
    rf"|^{_CAPITALISED}(?: {_CAPITALISED})+|(?<=\s){_CAPITALISED}"
)
#: Where a clinic's own function failed, in PostgreSQL's CONTEXT.
_FUNCTION = r"(?m)^[^\"(]*?([\w.]+)\([^)]*\) \S+ (\d+)"


def without_values(diagnosis: Any) -> str:
    """Return a PostgreSQL error's first line without row values, and what it is about.

    Args:
        diagnosis: psycopg's, with at least the primary message.
    """
    first = diagnosis.message_primary.partition("\n")[0]
    table = ".".join(filter(None, (diagnosis.schema_name, diagnosis.table_name)))
    names = {"column": diagnosis.column_name, "constraint": diagnosis.constraint_name}
    if diagnosis.source_function == "exec_stmt_raise":
        said = raised(first)
    else:
        said = _servers(first, {*names.values(), diagnosis.table_name, diagnosis.datatype_name})
    about = [said]
    if diagnosis.table_name:
        about.append(f"table {table}")
    about += [f"{what} {name}" for what, name in names.items() if name and name not in said]
    if function := re.search(_FUNCTION, diagnosis.context or ""):
        about.append(f"function {function[1]}, line {function[2]}")
    return "; ".join(about)


def raised(text: str) -> str:
    """Return what a trigger of the clinic's own says, without whatever may be a value."""
    return re.sub(_PERHAPS_A_VALUE, "…", text)


def _servers(text: str, names: Collection[str | None]) -> str:
    """Return the server's own words without the values that they quote."""
    for quoted in re.finditer(_QUOTED, text):
        if not quoted["named"] and quoted["inside"] not in names:
            # From here to the last quotation mark, for a value may hold some itself.
            after = max(map(text.rfind, '"”»')) + 1
            whole = text.count('"') % 2 == 0
            text = f"{text[: quoted.start()]}…{text[after:] if whole else ''}"
            break
    else:
        if text.count('"') % 2:  # it began on this line and ends on another
            text = f"{text[: text.rfind(chr(34))]}…"
    return re.sub(_BYTES, "0x…", text)
