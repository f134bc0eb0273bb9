"""nginx's `$variables`: the public door to the four rooms that make them.

    variable_table.py  VARIABLES: name -> Variable(moment, read, doc, …); the families $http_…, $arg_…, $cookie_…
    templates.py       compile_template("$scheme://$host$request_uri", moment, scope) -> a function over the Exchange
    variable_maps.py   the `[map.NAME]` tables: a variable looked up by the value of another
    log_lines.py       access_format("combined" | "json" | own) -> a function that makes a log line

Nothing is defined here.
"""

from __future__ import annotations

from edgestack.http.log_lines import FORMATS, LineFormat, access_format, custom_format
from edgestack.http.templates import (
    Constant,
    Scope,
    Template,
    TemplateError,
    Use,
    compile_template,
    find_variable,
    variable_names,
)  # fmt: skip
from edgestack.http.variable_maps import compile_pattern, map_read
from edgestack.http.variable_table import (
    FAMILIES,
    MOMENTS,
    TIMED,
    VARIABLES,
    Variable,
    escaped,
    local_time,
)

__all__ = [
    "FAMILIES", "FORMATS", "MOMENTS", "TIMED", "VARIABLES", "Constant", "LineFormat", "Scope",
    "Template", "TemplateError", "Use", "Variable", "access_format", "compile_pattern", "compile_template",
    "custom_format", "escaped", "find_variable", "local_time", "map_read", "variable_names",
]  # fmt: skip
