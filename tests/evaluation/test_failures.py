from ragkit.evaluation.failures import retrieval_failures


def test_queries_are_counted_by_how_they_failed() -> None:
    others = [f"x{number}" for number in range(20)]
    found = retrieval_failures(
        {
            "found": {"a": 1},
            "low": {"a": 2, "b": 1},
            "missing": {"a": 1, "x1": 0},
            "not run": {"a": 1},
        },
        {"found": [*others[:9], "a"], "low": [*others[:10], "a"], "missing": others},
        {"low": "Where?"},
    )
    assert {kind: item.count for kind, item in found.items()} == {
        "not retrieved": 2,
        "ranked low": 1,
    }
    example = found["ranked low"].examples[0]
    assert (example.query, example.question) == ("low", "Where?")
    assert example.detail == "a and 1 more at rank 11; first is x0"
    details = [example.detail for example in found["not retrieved"].examples]
    assert details == [
        "a not in the first 20; first is x0",
        "a not in the first 0; first is nothing",
    ]


def test_ten_examples_are_kept_and_all_are_counted() -> None:
    found = retrieval_failures({f"q{i}": {"a": 1} for i in range(25)}, {}, {})["not retrieved"]
    assert (found.count, len(found.examples)) == (25, 10)
