from workflows.records.headline import headline


def test_the_metrics_that_say_most() -> None:
    """Main metrics of tasks; only where there are none, what the kind itself names."""
    assert (
        headline("finetune", {"text_to_video_r5": 80.0, "text_to_video_r1": 57.04, "final_loss": 1.0})
        == "text-to-video R@1 57.0"
    )
    assert headline("finetune", {"cider": 68.1}, ("clips", "val")) == "CIDEr 68.1 on val"
    assert headline("pretrain", {"final_loss": 19.6512}, ("clips", "val")) == "final_loss 19.65"  # It is of training.
    assert headline("pretrain", {"final_loss": 19.6512, "samples_per_second": 111.0}) == "final_loss 19.65"
    assert headline("extract", {"frames": 1200, "clips": 100}) == "frames 1200"
    both = {"retrieval/text_to_video_r1": 1.0, "accuracy": 2.0, "frames": 3.0}
    assert headline("evaluate", both) == "retrieval/text-to-video R@1 1.0, QA accuracy 2.0"
    assert headline("a kind of before", {"final_loss": 1.0}) == ""
