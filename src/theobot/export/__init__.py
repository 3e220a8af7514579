"""An adapter and its base in the formats of other programs; nothing half-written is left behind."""
