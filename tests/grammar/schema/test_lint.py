from pydantic import BaseModel, Field

from ragkit.grammar import Finding, lint


class Person(BaseModel):
    name: str = Field(max_length=8)
    age: int = Field(ge=0, le=150)


def test_lint_names_the_treatment_of_each_keyword() -> None:
    schema = {
        "type": "object",
        "title": "t",
        "properties": {
            "a": {"type": "array", "items": {"type": "string"}, "uniqueItems": True},
            "b": {"type": "string", "format": "json-pointer"},
            "c": {"type": "string", "format": "regex"},
        },
    }
    found = {(f.path, f.keyword): f.treatment for f in lint(schema)}
    assert found["", "type"] == "enforced"
    assert found["", "title"] == "annotation"
    assert found["/properties/a", "uniqueItems"] == "checked"
    assert found["/properties/b", "format"] == "annotation"
    assert found["/properties/c", "format"] == "checked"
    refused = [f for f in lint({"items": {"$dynamicRef": "#x"}}) if f.treatment == "refused"]
    assert [(f.path, f.keyword) for f in refused] == [("/items", "$dynamicRef")]
    assert all(isinstance(finding, Finding) for finding in lint(Person))
