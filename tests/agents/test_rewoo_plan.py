import pytest

from ragkit.agents.rewoo_plan import (
    block_dependants,
    extended,
    kept_arguments,
    lost_steps,
    needs_of,
    part_of,
    ready_steps,
    resolved,
    shown_arguments,
    untrusted_steps,
)
from ragkit.core.errors import InputError, ToolError
from ragkit.grammar import Plan, StepReference
from ragkit.grammar.plans import PlanStep
from ragkit.testing import RecordingTool


def test_a_part_that_is_not_there_says_what_there_is() -> None:
    with pytest.raises(
        ToolError, match=r"#E1 has no part \['a'\]\['x'\]; it is an object with 'b'"
    ):
        part_of({"a": {"b": 1}}, ("a", "x"), label="#E1")
    assert part_of('[{"a": "5"}]', (0, "a"), label="#E1") == "5"


def steps(*given: tuple[str, str, dict[str, object]]) -> Plan:
    made = (PlanStep(id=label, tool=tool, arguments=held) for label, tool, held in given)
    return Plan(steps=tuple(made))


def ref(label: str, *path: str | int) -> StepReference:
    return StepReference(ref=label, path=path)


def test_a_new_plan_counts_on_and_refers_to_kept_results_by_their_labels() -> None:
    plan = steps(("#E1", "a", {}), ("#E2", "b", {"x": ref("#E1")}))
    first = extended([], plan, step="1", tainted=False)
    first[0]["status"], first[1]["status"] = "done", "failed"
    second = extended(
        first,
        steps(("#E1", "evidence", {"label": "#E1"}), ("#E2", "c", {"x": ref("#E1", 0)})),
        step="2",
        tainted=True,
    )
    assert [(one["id"], one["status"]) for one in second] == [
        ("#E1", "done"), ("#E2", "dropped"), ("#E3", "waiting"),
    ]  # fmt: skip
    assert needs_of(second[2]["arguments"]) == ["#E1"]
    assert (second[2]["call"], second[2].get("tainted")) == ("2.2", True)
    assert shown_arguments(second[2]["arguments"]) == "x=#E1[0]"


@pytest.mark.parametrize("label", ["#E1", "#E2", "#E9"])
def test_a_step_that_refers_to_itself_or_forward_is_refused(label: str) -> None:
    plan = steps(("#E1", "a", {"x": ref(label)}), ("#E2", "a", {}))
    with pytest.raises(InputError, match=f"refers to {label}, which is not before it"):
        extended([], plan, step="1", tainted=False)


def test_steps_that_need_a_failed_one_are_blocked_and_the_others_are_ready() -> None:
    plan = extended(
        [],
        steps(
            ("#E1", "a", {}), ("#E2", "b", {"x": ref("#E1")}),
            ("#E3", "b", {"x": ref("#E2")}), ("#E4", "a", {}),
        ),
        step="1",
        tainted=False,
    )  # fmt: skip
    plan[0]["status"] = "failed"
    block_dependants(plan)
    assert [one["id"] for one in lost_steps(plan)] == ["#E1", "#E2", "#E3"]
    assert [one["id"] for one in ready_steps(plan)] == ["#E4"]


def test_a_result_that_does_not_fit_the_argument_is_refused() -> None:
    tool = RecordingTool(name="use")
    kept = kept_arguments({"text": ref("#E1")}, {"#E1": "#E1"})
    assert resolved(tool, kept, {"#E1": ("7", "seven")}) == {"text": "seven"}
    part = kept_arguments({"text": ref("#E1", "x")}, {"#E1": "#E1"})
    with pytest.raises(ToolError, match=r"has no part \['x'\]"):
        resolved(tool, part, {"#E1": ("7", "")})


def test_a_text_that_was_cut_or_a_value_that_was_not_kept_stands_for_no_result() -> None:
    use = RecordingTool(name="use")
    kept = kept_arguments({"text": ref("#E1")}, {"#E1": "#E1"})
    assert resolved(use, kept, {"#E1": ("[1]", "")}) == {"text": "[1]"}
    with pytest.raises(ToolError, match="#E1 is too large to be kept whole"):
        resolved(use, kept, {"#E1": ("", "beginning of a text")})


def test_untrusted_are_the_results_of_tools_that_are_not_trusted_and_of_all_made_of_them() -> None:
    plan = extended(
        [],
        steps(
            ("#E1", "web", {}), ("#E2", "sum", {"x": ref("#E1")}),
            ("#E3", "sum", {"x": ref("#E2", 0)}), ("#E4", "sum", {"x": "plain"}),
        ),
        step="1",
        tainted=False,
    )  # fmt: skip
    assert untrusted_steps(plan, {"sum"}) == {"#E1", "#E2", "#E3"}
    assert untrusted_steps(plan, {"sum", "web"}) == set()
    plan[3]["tainted"] = True
    assert untrusted_steps(plan, {"sum", "web"}) == {"#E4"}
