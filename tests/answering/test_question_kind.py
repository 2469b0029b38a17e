import pytest

from ragkit.answering.question_kind import QuestionKind, question_kind


@pytest.mark.parametrize(
    ("question", "kind"),
    [
        ("Who designed the building?", "fact"),
        ("What is the default timeout?", "fact"),
        ("What is another term for it?", "fact"),
        ("What is Europe's largest inland port?", "fact"),
        ("Who is an example of a nomad?", "fact"),
        ("How many people live there?", "fact"),
        ("What Python version does it need?", "fact"),
        ("In 1755 what fort did the British capture?", "fact"),
        ("Does it follow redirects by default?", "boolean"),
        ("Can I delete a version?", "boolean"),
        ("How do I call an app directly?", "steps"),
        ("How to delete an account?", "steps"),
        ("Where can I change the language?", "steps"),
        ("what is the best way to test a command", "steps"),
        ("What is the difference between a list and a tuple?", "comparison"),
        ("threads vs processes", "comparison"),
        ("Which options are available?", "list"),
        ("What are the supported formats?", "list"),
        ("Why does it exist?", "explanation"),
        ("When should I use a fragment?", "explanation"),
        ("When did the war end?", "fact"),
        ("How does the resolver work?", "explanation"),
        ("What is a workspace?", "explanation"),
        ("What is the purpose of the lock file?", "explanation"),
        ("cross-origin requests", "explanation"),
        ("Could you tell me who wrote it?", "fact"),
        ("", "explanation"),
    ],
)
def test_the_wording_of_a_question_gives_its_kind(question: str, kind: QuestionKind) -> None:
    assert question_kind(question) == kind
    assert question_kind(f"  {question.upper()} ") == kind
