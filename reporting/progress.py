"""Progress bars: shown on a terminal and by the main process only."""

from collections.abc import Sequence

import datasets
import transformers
from accelerate import Accelerator
from tqdm import tqdm


def show_progress(accelerator: Accelerator, iterable: Sequence | None = None, **options) -> tqdm:
    """Return a progress bar that vanishes when done, for the terminal of the main process only."""
    disable = None if accelerator.is_main_process else True  # None: shown on a terminal only
    return tqdm(iterable, leave=False, delay=0.5, disable=disable, **options)


def hide_library_bars() -> None:
    """Keep the progress bars of the libraries out of log files."""
    datasets.disable_progress_bars()
    transformers.utils.logging.disable_progress_bar()
