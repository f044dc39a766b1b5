"""Work in other threads, for tests that do not want to wait."""


class AtOnce:
    """Tasks that are done where they are asked for."""

    def start(self, work, on_done, on_failed, *, patience_s=0.0):
        try:
            answer = work()
        except Exception as error:  # noqa: BLE001 - told, as the real ones do
            on_failed(error)
        else:
            on_done(answer)
