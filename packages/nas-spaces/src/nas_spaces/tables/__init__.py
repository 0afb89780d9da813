"""Tables: measured results of many architectures of one space, which stand in for training."""

from __future__ import annotations

from nas_spaces.tables.shipped import SHIPPED as SHIPPED
from nas_spaces.tables.shipped import located as located
from nas_spaces.tables.table import Table as Table
