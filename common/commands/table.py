"""`table`: print what each version does for every named feature, as a Markdown table.

The same as `explain --table true`. docs/features.md holds this table.
"""

from common.analysis.explain.feature_table import render
from common.config.arguments import Options
from common.config.request import Request

OPTIONS: Options = {}
EXAMPLES = (
    "table",
    "table v2 v3",
    "table --configs atari",
)


def show(request: Request) -> None:
    """Print the table of the named versions, or of all, one column each."""
    names = request.positionals or ([request.algo] if request.algo else request.algos)
    print(render({name: request.config(name) for name in names}))
