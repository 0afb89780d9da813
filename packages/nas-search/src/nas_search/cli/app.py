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

tables = typer.Typer(help="Make, check and describe table files.", rich_markup_mode=None)
app.add_typer(tables, name="table")

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
        typer.Option(metavar="digits|cifar10|FILE.npz|FOLDER", help="Train each network on these images."),
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
        str | None,
        typer.Option(metavar="serial|processes[:N]|simulated[:N]", help="Where trials run. [default: serial]"),
    ] = None,
    threads: Annotated[int | None, typer.Option(metavar="N", help="CPU threads of one evaluation.")] = None,
    epochs: Annotated[int | None, typer.Option(metavar="N", help="Epochs of training.")] = None,
    recipe: Annotated[str | None, typer.Option(metavar="NAME[:KEY=VALUE,…]", help="Recipe of training.")] = None,
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
    sample: Annotated[
        bool, typer.Option("--sample", help="A random member of the space; its text is printed.")
    ] = False,
    seed: Annotated[
        int | None,
        typer.Option(metavar="N", help="Which random member, and which network a generator draws. [default: 0]"),
    ] = None,
    trial: Annotated[int | None, typer.Option(metavar="N", min=0, help="Trial of the run. [default: the best]")] = None,
    out: Annotated[Path, typer.Option(metavar="FILE", help="Picture to write: .png, .svg or .pdf.")] = Path("cell.png"),
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Draw the graphs of an architecture."""
    from nas_search.cli.draw import Wanted
    from nas_search.cli.draw import draw as run

    run(source, Wanted(architecture, sample, seed, trial), out, json)


@app.command()
def train(
    directory: Directory,
    trial: Annotated[int | None, typer.Option(metavar="N", min=0, help="Trial to train. [default: the best]")] = None,
    number: Annotated[
        int | None, typer.Option("--best", metavar="K", min=1, help="Train the K best, each in DIR/final/trialN.")
    ] = None,
    pareto: Annotated[bool, typer.Option("--pareto", help="Train the whole Pareto front, likewise.")] = False,
    draws: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Train N networks of each generator: mean and deviation.")
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(metavar="digits|cifar10|FILE.npz|FOLDER", help="Images or text. [default: the search's]"),
    ] = None,
    epochs: Annotated[int | None, typer.Option(metavar="N", help="Epochs of training.")] = None,
    recipe: Annotated[str | None, typer.Option(metavar="NAME[:KEY=VALUE,…]", help="Recipe of training.")] = None,
    network: Annotated[
        str | None, typer.Option(metavar="KEY=VALUE,…", help="Size of the network. [default: the search's]")
    ] = None,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Where to keep it. [default: DIR/final]")] = None,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Train the best architecture, or several, longer and test each once."""
    from nas_search.cli.train import FinalOptions, Which
    from nas_search.cli.train import train as run

    which = Which(trial=trial, best=number, pareto=pareto, draws=draws)
    run(directory, which, FinalOptions(data=data, recipe=recipe, epochs=epochs, network=network), out, json)


@app.command()
def export(
    directory: Directory,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder to make.")],
    trial: Annotated[
        int | None,
        typer.Option(metavar="N", min=0, help="Trial to export. [default: the one trained to the end, or the best]"),
    ] = None,
    final: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where `nas train` kept its networks. [default: DIR/final]")
    ] = None,
    formats: Annotated[
        list[str] | None,
        typer.Option(
            "--format",
            metavar="source|program|onnx",
            help="What to write; may be given again. Source, weights and card always are. [default: all]",
        ),
    ] = None,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Write a found network as files that need torch alone."""
    from nas_search.cli.export import export as run

    run(directory, trial, final, formats or [], out, json)


@app.command()
def compare(
    optimizer: Annotated[
        list[str],
        typer.Option(
            metavar="NAME[:KEY=VALUE,…]",
            help="Optimizer, or one of the peers optuna_tpe, optuna_gp, pymoo_nsga2; may be given again.",
        ),
    ],
    budget: Annotated[int, typer.Option(metavar="N", help="Labels of one run.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Directory of the comparison; one that was begun goes on.")],
    table: Annotated[
        list[Path] | None, typer.Option(metavar="FILE", help="Table to search; may be given again.")
    ] = None,
    fitted: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="Table to fit a surrogate on, whose whole space is searched; likewise."),
    ] = None,
    seeds: Annotated[int, typer.Option(metavar="S", help="Runs of each optimizer on each table.")] = 20,
    objective: Annotated[
        list[str] | None,
        typer.Option(
            metavar="METRIC|max:METRIC|min:METRIC",
            help="What to optimise; may be given again. [default: what the tables say]",
        ),
    ] = None,
    constraint: Annotated[
        list[str] | None,
        typer.Option(metavar="METRIC<=NUMBER|METRIC>=NUMBER", help="A bound to keep; may be given again."),
    ] = None,
    at: Annotated[
        list[int] | None, typer.Option(metavar="N", help="Labels at which to read the curves; may be given again.")
    ] = None,
    top: Annotated[
        list[float] | None,
        typer.Option(metavar="SHARE", help="Count labels to this best share of a table. [default: 0.001 and 0.01]"),
    ] = None,
    workers: Annotated[int | None, typer.Option(metavar="N", help="Processes. [default: one a core]")] = None,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Compare optimizers on tables; every label counts."""
    from nas_search.cli.compare import CompareOptions
    from nas_search.cli.compare import compare as run

    options = CompareOptions(
        tables=table or (), optimizers=optimizer, budget=budget, seeds=seeds, objectives=objective or (),
        constraints=constraint or (), at=at or (), top=top or (), fitted=fitted or (), workers=workers,
    )  # fmt: skip
    run(options, out, json)


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


TableFile = Annotated[Path, typer.Argument(metavar="FILE", help="A table file.", show_default=False)]


@tables.command("info")
def table_info(file: TableFile, json: Json = False, debug: Debug = False) -> None:
    """Say what a table holds."""
    from nas_search.cli.table import info as run

    run(file, json)


@tables.command("check")
def table_check(file: TableFile, json: Json = False, debug: Debug = False) -> None:
    """Check all of a table; exit code 2 and the first errors where there are any."""
    from nas_search.cli.table import check as run

    run(file, json)


@tables.command("convert")
def table_convert(
    kind: Annotated[str, typer.Argument(metavar="KIND", help="What SOURCE is; a wrong name lists them.")],
    source: Annotated[Path, typer.Argument(metavar="SOURCE", help="File or folder of published results.")],
    out: Annotated[Path, typer.Argument(metavar="OUT.npz", help="The table to write.")],
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Make a table of published results."""
    from nas_search.cli.table import convert as run

    run(kind, source, out, json)


@tables.command("fit")
def table_fit(
    file: TableFile,
    surrogate: Annotated[str, typer.Option(metavar="NAME[:KEY=VALUE,…]", help="What is fitted.")] = "gp",
    metric: Annotated[
        list[str] | None, typer.Option(metavar="METRIC", help="What to fit; may be given again. [default: objectives]")
    ] = None,
    folds: Annotated[int, typer.Option(metavar="K", help="Parts of the cross-validation.")] = 5,
    seed: Annotated[int, typer.Option(metavar="N", help="Seed of the parts and the fits.")] = 0,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Say how well the evaluator surrogate_table predicts what it has not seen."""
    from nas_search.cli.table_fit import fit as run

    run(file, surrogate, metric or [], folds, seed, json)


@tables.command("join")
def table_join(
    first: Annotated[Path, typer.Argument(metavar="A", help="The table whose rows are kept.")],
    second: Annotated[Path, typer.Argument(metavar="B", help="The table whose metrics are added by architecture.")],
    out: Annotated[Path, typer.Argument(metavar="OUT.npz", help="The table to write.")],
    rename: Annotated[
        list[str] | None, typer.Option(metavar="METRIC=NAME", help="Another name for a metric of B.")
    ] = None,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Add the metrics of one table to another."""
    from nas_search.cli.table import join as run

    run(first, second, out, rename or [], json)


@tables.command("build")
def table_build(
    space: Annotated[str, typer.Option(metavar="NAME[:KEY=VALUE,…]", help="Space whose members are trained.")],
    out: Annotated[
        Path, typer.Option(metavar="FILE.npz", help="The table to write; FILE.npz.run keeps the trainings.")
    ],
    data: Annotated[
        str | None, typer.Option(metavar="digits|cifar10|FILE.npz|FOLDER", help="Train each network on these images.")
    ] = None,
    evaluator: Annotated[
        str | None, typer.Option(metavar="NAME[:KEY=VALUE,…]", help="Another way to measure architectures.")
    ] = None,
    number: Annotated[
        int | None, typer.Option("--n", metavar="N", min=1, help="Random members; the sample has no twins.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="All members, one of each class of twins.")] = False,
    twins: Annotated[bool, typer.Option("--twins", help="Twins are trained, too.")] = False,
    fidelity: Annotated[
        list[float] | None,
        typer.Option(metavar="EPOCHS", help="Train at this fidelity; may be given again. [default: the recipe's]"),
    ] = None,
    replicates: Annotated[int, typer.Option(metavar="N", min=1, help="Trainings of each member and fidelity.")] = 1,
    objective: Annotated[
        list[str] | None,
        typer.Option(metavar="max:METRIC|min:METRIC", help="What searches of the table optimise."),
    ] = None,
    metric: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Keep this metric; may be given again. [default: all]")
    ] = None,
    recipe: Annotated[str | None, typer.Option(metavar="NAME[:KEY=VALUE,…]", help="Recipe of training.")] = None,
    train: Annotated[str | None, typer.Option(metavar="KEY=VALUE,…", help="More options of the training.")] = None,
    network: Annotated[str | None, typer.Option(metavar="KEY=VALUE,…", help="Size of the networks.")] = None,
    seed: Annotated[int | None, typer.Option(metavar="N", help="Seed of all random numbers. [default: 0]")] = None,
    executor: Annotated[
        str | None, typer.Option(metavar="serial|processes[:N]", help="Where trainings run. [default: serial]")
    ] = None,
    threads: Annotated[int | None, typer.Option(metavar="N", help="CPU threads of one training.")] = None,
    name: Annotated[str | None, typer.Option(metavar="TEXT", help="What the table is called. [default: FILE]")] = None,
    licence: Annotated[str, typer.Option(metavar="TEXT", help="Under which others may use it.")] = "not stated",
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Train members of a space and write what was measured as a table; stopped, the same command goes on."""
    from nas_core.errors import InvalidOption
    from nas_search.cli.options import SearchOptions
    from nas_search.cli.table_build import Wanted
    from nas_search.cli.table_build import build as run

    if everything == (number is not None):
        raise InvalidOption("how many members are to be trained?", expected="either --n N or --all")
    options = SearchOptions(
        space=space, optimizer="sweep", data=data, evaluator=evaluator, objectives=objective or ["max:val_accuracy"],
        seed=seed, executor=executor, threads=threads, recipe=recipe, train=train, network=network,
    )  # fmt: skip
    wanted = Wanted(number, tuple(fidelity or ()), replicates, twins, tuple(metric or ()), name, licence)
    run(options, wanted, out, json)
