"""
The site: a vault in, rendered pages out.

It knows nothing of processes or ports. Unpublished notes appear nowhere.
"""

from __future__ import annotations
