"""Pages in Markdown from the templates of this folder."""

from typing import Any, Callable, Optional

import jinja2


def render(template: str, filters: Optional[dict[str, Callable]] = None, **values: Any) -> str:
    """Return the text of a template in templates/; a name that `values` lacks is an error.

    filters
        {name: function}, beside Jinja's own.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("rcnn.experiments"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(filters or {})
    return environment.get_template(template).render(**values)
