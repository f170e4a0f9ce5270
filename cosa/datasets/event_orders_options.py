"""Options of the generated corpus of event orders. Read by experiment specs: imports no torch and no media library."""

from pydantic import Field

from cosa.datasets.demo_options import DrawingOptions


class EventOrdersOptions(DrawingOptions):
    """What the corpus holds; see `cosa.datasets.event_orders`."""

    images: int = Field(6000, ge=1, le=1_000_000, description="Training images, each with one caption of one object.")
    events: int = Field(3, ge=2, le=4, description="Events of a clip, each of another object.")
    train_clips: int = Field(240, ge=1, le=1_000_000, description="Clips for finetuning, each of other events.")
    validation_sets: int = Field(20, ge=1, le=10_000, description="Sets of events of which validation shows all orders.")
    test_sets: int = Field(60, ge=1, le=10_000, description="Sets of events of which the test shows all orders.")
