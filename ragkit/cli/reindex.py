"""`ragkit reindex`: the index built again with the settings of now."""

from dataclasses import asdict

from ragkit.cli import console
from ragkit.cli.options import Config, Index, Json, chosen_settings, reporting, terminable
from ragkit.sdk import RAG


@reporting
def reindex(
    *,
    index: Index = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Build the index again with the settings of now, from the documents stored in it.

    It is searched and written as always meanwhile, and replaced at once. A run that was stopped
    goes on where it was.
    """
    settings = chosen_settings(config, index, None)
    with (
        terminable(),
        console.progress(quiet=as_json) as on_progress,
        RAG(settings, on_progress=on_progress) as rag,
    ):
        report = rag.reindex()
    if as_json:
        console.print_json(asdict(report))
    else:
        console.show_reindex(report)
