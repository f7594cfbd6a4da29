"""`striate studio`: the page that looks inside nets, served to this machine."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from striate.cli.output import Drawn, read_sizes
from striate.errors import UsageError

if TYPE_CHECKING:
    from striate.studio.launch import Studio


@click.command()
@click.argument("names", nargs=-1, metavar="[NET or RUN]...")
@click.option("--data", metavar="DATA", help="Items to look at; those of the run if not given.")
@click.option(
    "--input", "shape", metavar="SIZE", help="Of one input of a net of yours, such as 3x224x224."
)
@click.option(
    "--net", metavar="NET", help="The net of a run, if it is yours: package.module:factory."
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=0,
    show_default=True,
    help="On 127.0.0.1; 0 takes a free one.",
)
@click.option("--no-browser", is_flag=True, help="Only print the address.")
@click.option(
    "--allow-host",
    multiple=True,
    metavar="HOST",
    help="A name by which a proxy of yours passes requests on, such as lab.example:8888.",
)
@click.option(
    "--save", type=Drawn(".html"), metavar="FILE.html", help="Write the page of one net as a file."
)
def studio(
    *,
    names: tuple[str, ...],
    data: str | None,
    shape: str | None,
    net: str | None,
    port: int,
    no_browser: bool,
    allow_host: tuple[str, ...],
    save: Path | None,
) -> None:
    """Open a page that looks inside nets and runs, with your own data; it prints an address that works once."""
    from striate.studio import launch
    from striate.workbench.nets import own

    if save is not None and len(names) != 1:
        raise UsageError(f"--save writes the page of one net or run; got {len(names)}")
    if save is not None and not save.parent.is_dir():
        raise UsageError(f"--save {save}: cannot be written (there is no folder {save.parent})")
    page = launch.begun(
        names,
        data=data,
        shape=read_sizes(shape) if shape else None,
        own=own(net) if net else None,
        port=port,
        allowed=allow_host,
    )
    with page:
        if save is not None:
            from striate.studio.save import saved

            try:
                saved(page.session, save)
            except OSError as error:
                raise UsageError(
                    f"--save {save}: cannot be written ({error.strerror or error})"
                ) from error
            click.echo(f"striate: {save}, {save.stat().st_size / 2**20:.1f} MB", err=True)
            return
        _serve(page, browser=not no_browser)


def _serve(page: "Studio", *, browser: bool) -> None:
    from striate.studio import launch

    address = page.address()
    click.echo(address)
    click.echo("striate: the address works once; Ctrl-C ends the Studio", err=True)
    if browser and not launch.show(address):
        click.echo("striate: no browser was found: open the address yourself", err=True)
    if sys.stdin is not None and sys.stdin.isatty():
        click.echo("striate: Enter prints a new address", err=True)
        launch.on_enter(lambda: click.echo(page.address()))
    launch.wait()
