"""The configuration, read and judged: the only reader of the environment and of secret files.

values     kinds of values with their checks
model      the settings: sections, keys, defaults, meanings
keys       the same as a flat list
sources    TOML file, environment, secret files and credentials, merged
judge      all of it together: `load`, and `load_begun` before the setup is finished
text, template, reference    the file that `init` writes, and docs/configuration.md
"""

from stream.config.judge import RELOADED, STREAMED_OBJECTS_MAX, Loaded, load, load_begun

__all__ = ["RELOADED", "STREAMED_OBJECTS_MAX", "Loaded", "load", "load_begun"]
