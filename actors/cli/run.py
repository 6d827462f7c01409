"""`troupe run [CONFIG]`: a node in this process, until Ctrl-C or SIGTERM."""

from __future__ import annotations

import argparse
import importlib

from actors.cli.configuration import as_command_error, load
from actors.cli.report import Exit, failure
from runtime.node import NodeFailed
from runtime.settings import ConfigurationError


def run(arguments: argparse.Namespace) -> int:
    """Load the configuration and run the node; its exit status is the command's. Raises CommandError."""
    configuration = load(arguments)
    node = importlib.import_module("actors.node")
    try:
        return int(node.run(configuration))
    except ConfigurationError as error:
        raise as_command_error(error) from error
    except NodeFailed as error:
        hint = "the log above says what each actor met; troupe doctor checks this machine"
        raise failure(Exit.FAILED, "node_failed", f"the node could not go on: {error}", hint=hint) from error
