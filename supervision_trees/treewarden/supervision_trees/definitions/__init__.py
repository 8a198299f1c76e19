"""Tree definitions: YAML, TOML and JSON files read into frozen values, with every complaint at once."""

from treewarden.supervision_trees.definitions._build import child_spec as child_spec
from treewarden.supervision_trees.definitions._document import Format as Format
from treewarden.supervision_trees.definitions._json_schema import schema as schema
from treewarden.supervision_trees.definitions._mistakes import Complaint as Complaint
from treewarden.supervision_trees.definitions._mistakes import DefinitionErrors as DefinitionErrors
from treewarden.supervision_trees.definitions._nodes import ActorNode as ActorNode
from treewarden.supervision_trees.definitions._nodes import Node as Node
from treewarden.supervision_trees.definitions._nodes import ProcessNode as ProcessNode
from treewarden.supervision_trees.definitions._nodes import SupervisorNode as SupervisorNode
from treewarden.supervision_trees.definitions._nodes import TreeDefinition as TreeDefinition
from treewarden.supervision_trees.definitions._parse import definition_text as definition_text
from treewarden.supervision_trees.definitions._parse import load_definition as load_definition
from treewarden.supervision_trees.definitions._parse import parse_definition as parse_definition
from treewarden.supervision_trees.definitions._process_template import ProcessTemplate as ProcessTemplate
from treewarden.supervision_trees.definitions._starter import STARTER as STARTER

__all__ = [
    "STARTER",
    "ActorNode",
    "Complaint",
    "DefinitionErrors",
    "Format",
    "Node",
    "ProcessNode",
    "ProcessTemplate",
    "SupervisorNode",
    "TreeDefinition",
    "child_spec",
    "definition_text",
    "load_definition",
    "parse_definition",
    "schema",
]
