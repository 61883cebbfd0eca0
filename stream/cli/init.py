"""`init`: a commented configuration file."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import click

from stream.cli.options import config_option
from stream.config import load_begun
from stream.config.model import Settings
from stream.config.sources import CONFIG_VARIABLE, LOCAL_PATH, SYSTEM_PATH
from stream.config.template import template
from stream.errors import ConfigError
from stream.operating.deployment import CONTACT, Deployment

EPILOG = """With --credentials the secrets are left to systemd (LoadCredential=, from /etc/credstore): the file names none of
their files, and everybody may read it, the service's own user among them.

With --salesforce DIR it writes what the Salesforce admin deploys instead (Metadata API format, with package.xml):

\b
  a channel of its own with a member for each object set to stream
  a permission set: read and View All of the objects, the mapped fields, editing the MSI fields and converted leads, API Enabled
  an external client app for the sign-in (flow jwt or client_credentials), open to that permission set only
  the seven MSI fields of Lead and Contact, where scores.field_prefix is empty (else the MSI package brings them)

It goes by --config where there is one, finished or not, else by the defaults. A filter is a channel member's filterExpression:
events that it drops are not delivered and not counted, and their changes come with the next sweep only. So it must never hide
the change by which a record leaves the filter.

\b
Exit codes:
  0  written
  2  there is a file (or a directory that is not empty) already, or it cannot be written, or an argument cannot be used

\b
Examples:
  msi-stream init /etc/msi-stream/config.toml
  msi-stream init --credentials /etc/msi-stream/config.toml
  msi-stream init --salesforce salesforce-setup --certificate salesforce.crt --email admin@example.com
"""


@click.command(epilog=EPILOG)
@click.argument("path", type=click.Path(path_type=Path), required=False)
@click.option("--force", is_flag=True, help="Replace a configuration file that is there.")
@click.option("--credentials", is_flag=True, help="For the service: secrets are systemd's credentials, and the file holds none.")
@click.option("--salesforce", type=click.Path(path_type=Path), metavar="DIR", help="Write what the Salesforce admin deploys.")
@click.option("--certificate", type=click.Path(path_type=Path), metavar="PEM", help="With --salesforce: the app's certificate.")
@click.option("--email", metavar="ADDRESS", help="With --salesforce: the app's contact.")
@click.option("--filter", "filters", multiple=True, metavar="OBJECT=EXPRESSION", help="With --salesforce: a member's filter.")
@config_option
def init(  # noqa: PLR0917 - click passes them by name
    path: Path | None,
    config: Path | None,
    salesforce: Path | None,
    certificate: Path | None,
    email: str | None,
    filters: tuple[str, ...],
    *,
    force: bool,
    credentials: bool,
) -> None:
    """Write a commented configuration file, readable by its owner alone; or what the Salesforce admin deploys.

    The file goes to PATH, else to --config, else to $MSI_STREAM_CONFIG, else to ./msi-stream.toml.
    """
    if salesforce is not None:
        if path or force or credentials:
            raise click.UsageError("--salesforce goes with neither PATH nor --force nor --credentials")
        _write_deployment(salesforce, config, certificate, email, filters)
        return
    if certificate or email or filters:
        raise click.UsageError("--certificate, --email and --filter go with --salesforce")
    where = path or config or Path(os.environ.get(CONFIG_VARIABLE) or LOCAL_PATH)
    name = where.stem if where.stem != SYSTEM_PATH.stem else ""
    text = template(credentials=".".join(["msi-stream", *([name] if name else [])]) if credentials else "")
    mode = 0o644 if credentials else 0o600
    try:
        if force:
            beside = where.with_name(f".{where.name}.{os.getpid()}.new")
            _write(beside, text, mode)
            try:
                beside.replace(where)
            except OSError:
                beside.unlink()
                raise
        else:
            _write(where, text, mode)
    except FileExistsError as error:
        raise ConfigError(f"{where} is there already", hint="name another file, or replace it with --force") from error
    except OSError as error:
        raise ConfigError(f"cannot write {where}: {error.strerror}", hint="name a place that this user may write to") from error
    if credentials:
        click.echo(f"Wrote {where}. Fill it in, put the secrets where it says, then: msi-stream-as {name or '-'} doctor")
    else:
        click.echo(f"Wrote {where}. Fill in the credentials, then: msi-stream doctor --config {where}")


def _write(path: Path, text: str, mode: int) -> None:
    """Write the whole file, whatever the umask, or leave none behind."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "w", encoding="utf-8") as file:
        try:
            os.fchmod(file.fileno(), mode)
            file.write(text)
            file.flush()
        except OSError:
            path.unlink()
            raise


def _write_deployment(
    where: Path, config: Path | None, certificate: Path | None, email: str | None, filters: Sequence[str]
) -> None:
    settings = load_begun(config, os.environ)
    made = Deployment(settings, _certificate(certificate), email or CONTACT, _filters(filters, settings))
    made.make()
    try:
        _write_all(where, made.files)
    except FileExistsError as error:
        raise ConfigError(f"{where} is there already, and not empty", hint="name another directory") from error
    except OSError as error:
        raise ConfigError(f"cannot write {where}: {error.strerror}", hint="name a place that this user may write to") from error
    click.echo(f"Wrote {len(made.files)} files to {where}. Next:")
    click.echo("".join(f"  - {note}\n" for note in made.notes), nl=False)
    click.echo(f"  - deploy it: sf project deploy start --metadata-dir {where}")
    click.echo("  - assign the permission set MSI Stream to the integration user; the app's consumer key is salesforce.client_id")


def _filters(texts: Sequence[str], settings: Settings) -> dict[str, str]:
    found: dict[str, str] = {}
    streamed = settings.salesforce.objects.set_to("stream")
    for text in texts:
        obj, sign, expression = text.partition("=")
        if obj not in streamed or not sign or not expression.strip():
            raise click.UsageError(f"--filter: found {text[:60]!r}, expected OBJECT=EXPRESSION with one of {', '.join(streamed)}")
        found[obj] = expression.strip()
    return found


def _certificate(path: Path | None) -> str:
    """The certificate's text in one line, as the Metadata API wants it; a private key is refused."""
    if path is None:
        return ""
    try:
        text = path.read_text("ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read as a certificate in PEM", hint="openssl req -x509 writes one") from error
    begin, end = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
    body = "".join(text.partition(begin)[2].partition(end)[0].split())
    if "PRIVATE KEY" in text or not body or end not in text:
        raise ConfigError(
            f"{path}: expected a certificate in PEM, and no private key", hint="the key stays on the daemon's machine"
        )
    return body


def _write_all(where: Path, files: Mapping[str, str]) -> None:
    """The whole directory, or none of it."""
    if where.exists() and (not where.is_dir() or any(where.iterdir())):
        raise FileExistsError(where)
    fresh = where.with_name(f".{where.name}.{os.getpid()}.new")
    try:
        for name, text in files.items():
            path = fresh / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        if where.exists():
            where.rmdir()
        fresh.rename(where)
    except OSError:
        shutil.rmtree(fresh, ignore_errors=True)
        raise
