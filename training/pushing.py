"""Pushes a run's models to the hub. A push that fails is said and counted, and stops nothing."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import HfApi


@dataclass
class Pusher:
    """Uploads model folders, each into a repository of its own, and counts what failed."""

    name: str  # PUSH_TO: the policy's repository; the PRM's has -prm behind it
    say: Callable[[str], None]
    failures: int = 0

    def push(self, folders: dict[str, Path], iteration: int, is_last: bool) -> None:
        """Upload the folder of each role; without is_last, only into repositories that exist.

        A repository that has to be made is private.

        Args:
            folders: by role, "policy" and "prm".
            iteration: how many the models have learned from, for the commit's message.
        """
        api = HfApi()
        for role, folder in folders.items():
            repository = name_repository(self.name, role)
            try:
                if is_last:
                    api.create_repo(repository, private=True, exist_ok=True)
                elif not api.repo_exists(repository):
                    continue
                api.upload_folder(
                    repo_id=repository,
                    folder_path=folder,
                    commit_message=f"After {iteration} iterations",
                )
            except Exception as error:  # of any kind: training matters more
                self.failures += 1
                then = f"hf upload {repository} {folder}" if is_last else "the end tries it again"
                self.say(
                    f"  WARNING: {folder} could not be pushed to {repository} ({self.failures} "
                    f"failed pushes so far; {then}): {error!r}"
                )
            else:
                self.say(f"  pushed {folder} to {repository}")


def name_repository(name: str, role: str) -> str:
    """Return the repository of a role's model: PUSH_TO for the policy."""
    return name if role == "policy" else f"{name}-{role}"
