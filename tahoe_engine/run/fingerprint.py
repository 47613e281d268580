"""What must be equal wherever units run: compared before the first one."""

from __future__ import annotations

PACKAGES = ("distributed", "numpy", "polars", "pyarrow", "scipy")


def describe_build() -> dict[str, str]:
    """Give the versions a result could depend on, as this process has them.

    Returns
    -------
    dict
        Version by name: the engine, its core with the sources it was built of, Python, and the packages it computes
        and talks with. Processors may differ: no sum depends on them, and a fit of contrasts in its last bits only.

    Examples
    --------
    >>> sorted(describe_build())
    ['core', 'distributed', 'engine', 'numpy', 'polars', 'pyarrow', 'python', 'scipy', 'sources']
    """
    import platform
    from importlib.metadata import version

    from tahoe_engine import _rust

    return {
        "engine": version("tahoe-engine"),
        "core": _rust.core_version(),
        "sources": _rust.core_sources(),
        "python": ".".join(platform.python_version_tuple()[:2]),
        **{name: version(name) for name in PACKAGES},
    }
