"""The order of training rows: shuffled by a seed every epoch, whose position can be saved."""

from collections.abc import Sequence

import torch

from checks.errors import UserError


class RowStream:
    """An endless stream of rows, shuffled by a seed in every epoch. Its position can be saved."""

    def __init__(self, rows: Sequence, seed: int):
        self.rows = rows
        self.seed = seed
        self.epoch = 0
        self.position = 0  # rows of this epoch already taken

    def take(self, count: int) -> list:
        """Return the next count rows."""
        indices = []
        while len(indices) < count:
            taken = self._shuffled()[self.position : self.position + count - len(indices)]
            indices += taken
            self.position += len(taken)
            if self.position == len(self.rows):
                self.epoch, self.position = self.epoch + 1, 0
        return [self.rows[index] for index in indices]

    def state_dict(self) -> dict:
        return {"epoch": self.epoch, "position": self.position, "rows": len(self.rows)}

    def load_state_dict(self, state: dict) -> None:
        """Go on from a position.

        Raises:
            UserError: there were more or fewer rows.
        """
        rows = state.get("rows", len(self.rows))  # earlier versions did not save it
        if rows != len(self.rows):
            raise UserError(
                f"The data has {len(self.rows)} rows or prompts to train on now, and had {rows} "
                "when training began: start a new run, or restore the data."
            )
        self.epoch, self.position = state["epoch"], state["position"]

    def _shuffled(self) -> list[int]:
        generator = torch.Generator().manual_seed(self.seed + self.epoch)
        return torch.randperm(len(self.rows), generator=generator).tolist()
