"""ADWIN on the labels themselves."""

from river import drift


def detect(detector, values):
    for value in values:
        detector.update(value)
        yield detector.estimation + 1000 * detector.drift_detected + detector.width / 1024


def adwin(stream):
    yield from detect(drift.ADWIN(), (y for _, y in stream))


def adwin_shift(stream):
    """Other parameters, on values that double and halve every 3,000 events."""
    detector = drift.ADWIN(delta=0.05, clock=3, max_buckets=9, min_window_length=2, grace_period=50)
    yield from detect(detector, (y * (1 + i // 3000 % 2) / 1024 for i, (_, y) in enumerate(stream)))


def adwin_013(stream):
    """River 0.13.0, which leaves the newest bucket of every length out of a cut."""
    yield from detect(drift.ADWIN(), (y * (1 + i // 3000 % 2) / 1024 for i, (_, y) in enumerate(stream)))


CASES = {"adwin": adwin, "adwin_shift": adwin_shift, "adwin-0.13": adwin_013}
RIVER = {"adwin-0.13": "0.13.0"}
