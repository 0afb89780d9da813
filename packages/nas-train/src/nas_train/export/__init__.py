"""A trained network for use without this toolkit: source, weights, a program, an ONNX file, and a card."""

from __future__ import annotations

from nas_train.export.card import About as About
from nas_train.export.forms import FORMATS as FORMATS
from nas_train.export.language_source import language_source as language_source
from nas_train.export.language_write import export_language as export_language
from nas_train.export.source import source as source
from nas_train.export.write import export_checkpoint as export_checkpoint
from nas_train.export.write import export_network as export_network
