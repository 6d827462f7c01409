"""What a sample ratio mismatch is; apart, so that it is known without numpy."""

from __future__ import annotations

from typing import Final

SRM_ALARM: Final = 0.001
"""Below this p the sample ratio is not what was assigned, and nothing is claimed (GrowthBook's default)."""
