"""The commands of `nas` and their options. What they do is imported when they run, so that `nas --help` is quick."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    help="Neural architecture search by sampling.",
    rich_markup_mode=None,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["--help", "-h"]},
)

Directory = Annotated[Path, typer.Argument(metavar="DIR", help="Directory of the run.", show_default=False)]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show where an error comes from.")]


def _version(wanted: bool) -> None:
    if wanted:
        import nas_search

        typer.echo(f"nas {nas_search.__version__}")
        raise typer.Exit()


@app.callback(invoke_without_command=True)
def nas(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """Neural architecture search by sampling."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


@app.command()
def search(
    space: Annotated[
        str | None, typer.Option(metavar="NAME[:KEY=VALUE,…]", help="Space to search; a table brings its own.")
    ] = None,
    optimizer: Annotated[
        str | None, typer.Option(metavar="NAME[:KEY=VALUE,…]", help="What proposes architectures. [default: evolution]")
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(metavar="digits|cifar10|FILE.npz", help="Train each network on these images."),
    ] = None,
    table: Annotated[Path | None, typer.Option(metavar="FILE", help="Look results up in a table file.")] = None,
    evaluator: Annotated[
        str | None, typer.Option(metavar="NAME[:KEY=VALUE,…]", help="Another way to measure architectures.")
    ] = None,
    objective: Annotated[
        list[str] | None,
        typer.Option(metavar="max:METRIC|min:METRIC", help="What to optimise; may be given again."),
    ] = None,
    constraint: Annotated[
        list[str] | None,
        typer.Option(metavar="METRIC<=NUMBER|METRIC>=NUMBER", help="A bound to keep; may be given again."),
    ] = None,
    trials: Annotated[
        int | None, typer.Option(metavar="N", help="How many architectures to evaluate. [default: 100]")
    ] = None,
    seed: Annotated[int | None, typer.Option(metavar="N", help="Seed of all random numbers. [default: 0]")] = None,
    executor: Annotated[
        str | None, typer.Option(metavar="serial|processes[:N]", help="Where trials run. [default: serial]")
    ] = None,
    threads: Annotated[int | None, typer.Option(metavar="N", help="CPU threads of one evaluation.")] = None,
    epochs: Annotated[int | None, typer.Option(metavar="N", help="Epochs of training.")] = None,
    recipe: Annotated[str | None, typer.Option(metavar="NAME", help="Named recipe of training.")] = None,
    train: Annotated[str | None, typer.Option(metavar="KEY=VALUE,…", help="More options of the training.")] = None,
    network: Annotated[
        str | None, typer.Option(metavar="KEY=VALUE,…", help="Size of the networks, such as channels=8,cells=1.")
    ] = None,
    failure_limit: Annotated[
        float | None,
        typer.Option(metavar="SHARE", help="Stop when a greater share of the trials fails. [default: 0.5]"),
    ] = None,
    time_limit: Annotated[
        str | None, typer.Option(metavar="TIME", help="Begin no trial after so much device time: 90s, 45m, 12h, 2d.")
    ] = None,
    config: Annotated[
        Path | None, typer.Option(metavar="FILE.toml", help="Read all this from a file; options override it.")
    ] = None,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Directory of the run; must not exist yet.")] = None,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Search a space and keep every result."""
    from nas_search.cli.options import SearchOptions
    from nas_search.cli.search import search as run

    options = SearchOptions(
        space=space, optimizer=optimizer, data=data, table=table, evaluator=evaluator, objectives=objective,
        constraints=constraint, trials=trials, seed=seed, executor=executor, threads=threads, epochs=epochs,
        recipe=recipe, train=train, network=network, failure_limit=failure_limit, time_limit=time_limit,
    )  # fmt: skip
    run(options, config, out, json)


@app.command()
def resume(
    directory: Directory,
    trials: Annotated[int | None, typer.Option(metavar="N", help="New number of trials in all.")] = None,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Go on with a search, or give it more trials."""
    from nas_search.cli.search import resume as run

    run(directory, trials, json)


@app.command()
def status(directory: Directory, json: Json = False, debug: Debug = False) -> None:
    """Say how far a search is."""
    from nas_search.cli.inspect import status as run

    run(directory, json)


@app.command()
def best(
    directory: Directory,
    number: Annotated[
        int | None, typer.Option(metavar="K", min=1, help="How many. [default: 1; several objectives: the front]")
    ] = None,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Print the best architectures of a search."""
    from nas_search.cli.inspect import best as run

    run(directory, number, json)


@app.command()
def report(directory: Directory, json: Json = False, debug: Debug = False) -> None:
    """Write pictures, a table and a page into DIR/report."""
    from nas_search.cli.draw import report as run

    run(directory, json)


@app.command()
def draw(
    source: Annotated[str, typer.Argument(metavar="SPACE|DIR", help="A space, or the directory of a run.")],
    architecture: Annotated[
        str | None, typer.Argument(metavar="[ARCHITECTURE]", help="The architecture's text, after a space.")
    ] = None,
    trial: Annotated[int | None, typer.Option(metavar="N", min=0, help="Trial of the run. [default: the best]")] = None,
    out: Annotated[Path, typer.Option(metavar="FILE", help="Picture to write: .png, .svg or .pdf.")] = Path("cell.png"),
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Draw the graphs of an architecture."""
    from nas_search.cli.draw import draw as run

    run(source, architecture, trial, out, json)


@app.command()
def train(
    directory: Directory,
    trial: Annotated[int | None, typer.Option(metavar="N", min=0, help="Trial to train. [default: the best]")] = None,
    data: Annotated[
        str | None, typer.Option(metavar="digits|cifar10|FILE.npz", help="Images. [default: the search's]")
    ] = None,
    epochs: Annotated[int | None, typer.Option(metavar="N", help="Epochs of training.")] = None,
    recipe: Annotated[str | None, typer.Option(metavar="NAME", help="Named recipe of training.")] = None,
    network: Annotated[
        str | None, typer.Option(metavar="KEY=VALUE,…", help="Size of the network. [default: the search's]")
    ] = None,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Where to keep it. [default: DIR/final]")] = None,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Train the best architecture longer and test it once."""
    from nas_search.cli.train import FinalOptions
    from nas_search.cli.train import train as run

    run(directory, trial, FinalOptions(data=data, recipe=recipe, epochs=epochs, network=network), out, json)


@app.command("list")
def list_components(
    kind: Annotated[
        str | None, typer.Argument(metavar="[spaces|optimizers|evaluators|surrogates]", help="One kind only.")
    ] = None,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """List the installed components and their packages."""
    from nas_search.cli.components import list_components as run

    run(kind, json)
