"""Code that compiled functions run while they are traced, and do not hold between their calls."""

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any


class Lent(threading.local):
    """The network that an engine is running in this thread; none between its calls."""

    call: Callable[..., dict[str, Any]] | None = None
    is_counted: bool = True

    @contextlib.contextmanager
    def holding(self, call: Callable[..., dict[str, Any]], is_counted: bool = True) -> Iterator[None]:
        """Lend a network; ``is_counted`` says whether tracing it counts as compiling."""
        before = self.call, self.is_counted
        self.call, self.is_counted = call, is_counted
        try:
            yield
        finally:
            self.call, self.is_counted = before

    def run(self, *given: Any) -> dict[str, Any]:
        """Run the network that was lent."""
        if self.call is None:
            raise RuntimeError("an engine was traced outside its own call")
        return self.call(*given)
