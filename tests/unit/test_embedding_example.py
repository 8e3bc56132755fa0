"""The example of embedding runs as it is written, with the bodies of its handler filled in."""

import ast
from pathlib import Path
from typing import Any

import pytest

from lading import Association, AttemptResult, FetchResult, NoHandlerAvailable, NotAssociated

EXAMPLE = '''
from returns.result import Failure, Result, Success
from lading import Attempt, Dispatcher, FetchRequest, Image, Landing, Location, Refusal, Unsupported, Work
from lading.adapters.memory.associations import MemoryAssociations
from lading.adapters.catalogs.memory import MemoryCatalog

class PoolHandler:
    """Clones images that already live in this hypervisor's pool."""
    name = "pool"
    schemes = frozenset({"pool"})      # empty: location-independent
    is_local = False                   # what it fetches is not a file on this host

    def fetch(self, work: Work) -> Result[Landing, Refusal]: ...
    def remove(self, work: Work) -> Result[None, Refusal]: ...
    def move(self, work: Work, destination: str) -> Result[Landing, Refusal]: ...

image = Image(id="155d900f-4e14-4e4c-a73d-069cbf4541e6", name="noble", locations=[Location("pool://gold/noble")])
dispatcher = Dispatcher(handlers=[PoolHandler()], catalog=MemoryCatalog([image]), associations=MemoryAssociations())
dispatcher.fetch(FetchRequest(image_id=image.id, target="/vms/1/disk"))     # Result[Staged, NoHandlerAvailable | …]
dispatcher.move("/vms/1/disk", "/vms/2/disk")
dispatcher.remove("/vms/2/disk")
dispatcher.plan(FetchRequest(image_id=image.id, target="/vms/1/disk"))      # the attempts in order, doing nothing
dispatcher.preview(FetchRequest(image_id=image.id, target="/vms/1/disk"))   # and what each would come to
for attempt in dispatcher.attempts(FetchRequest(image_id=image.id, target="/vms/1/disk")):   # the generator beneath them
    attempt.settle(attempt.handler.fetch(attempt.work))       # unsettled counts as not handled; raises NoHandlerAvailable at the end
'''  # noqa: E501 - as it is written

CLONES = {
    "fetch": 'return Success(Landing("clone")) if work.location else Failure(Unsupported("the pool takes its own"))',
    "remove": "return Success(None)",
    "move": "return Success(Landing())",
}
REFUSES = dict.fromkeys(CLONES, 'return Failure(Unsupported("not in the pool"))')


def filled_in(bodies: dict[str, str]) -> ast.Module:
    example = ast.parse(EXAMPLE)
    for node in ast.walk(example):
        if isinstance(node, ast.FunctionDef):
            node.body = ast.parse(bodies[node.name]).body
    return example


def run(example: ast.Module, scope: dict[str, Any]) -> list[Any]:
    """What its bare expressions give, one after the other."""
    given = []
    for node in example.body:
        if isinstance(node, ast.Expr):
            given.append(eval(compile(ast.Expression(node.value), "example", "eval"), scope))  # noqa: S307 - the text above
        else:
            exec(compile(ast.Module([node], []), "example", "exec"), scope)  # noqa: S102 - the text above
    return given


def test_the_example_fetches_moves_removes_plans_and_fetches_by_hand() -> None:
    scope: dict[str, Any] = {}
    fetched, moved, removed, planned, previewed = run(filled_in(CLONES), scope)
    staged, location = fetched.unwrap(), scope["image"].locations[0]
    assert isinstance(staged, FetchResult)
    assert (staged.target, staged.handler, staged.landing.method) == ("/vms/1/disk", "pool", "clone")
    assert staged.attempts == (AttemptResult("pool", location),)
    assert isinstance(moved.unwrap(), Association)
    assert moved.unwrap().target == "/vms/2/disk"
    assert removed == moved
    assert [(attempt.handler.name, attempt.location) for attempt in planned] == [("pool", location)]
    assert [(each.handler, each.would) for each in previewed] == [("pool", True)]
    assert scope["attempt"].refusal is None
    assert scope["dispatcher"].remove("/vms/1/disk").unwrap().handler == "pool"
    assert isinstance(scope["dispatcher"].remove("/vms/2/disk").failure(), NotAssociated)


def test_the_example_ends_in_no_handler_available_when_its_handler_refuses() -> None:
    example = filled_in(REFUSES)
    by_hand = example.body.pop()
    scope: dict[str, Any] = {}
    fetched, moved, removed, *_ = run(example, scope)
    assert isinstance(fetched.failure(), NoHandlerAvailable)
    assert [type(each.failure()) for each in (moved, removed)] == [NotAssociated, NotAssociated]
    with pytest.raises(NoHandlerAvailable, match="pool pool://gold/noble: not in the pool"):
        run(ast.Module([by_hand], []), scope)


def page_s_example() -> ast.Module:
    page = (Path(__file__).parents[2] / "docs" / "how-to" / "embedding.md").read_text()
    return ast.parse(page.partition("## The domain alone")[2].partition("```python\n")[2].partition("```")[0])


def bare(example: ast.Module) -> str:
    """The example without what its handler does."""
    for node in ast.walk(example):
        if isinstance(node, ast.ClassDef):
            node.body = [
                each for each in node.body if not (isinstance(each, ast.FunctionDef) and each.name == "__init__")
            ]
        elif isinstance(node, ast.FunctionDef):
            node.body = [ast.Pass()]
    return ast.dump(example)


def test_the_page_s_example_is_this_one_and_runs() -> None:
    scope: dict[str, Any] = {}
    fetched, moved, removed, planned, previewed = run(page_s_example(), scope)
    assert [type(each.unwrap()) for each in (fetched, moved, removed)] == [FetchResult, Association, Association]
    assert (len(planned), len(previewed)) == (1, 1)
    assert scope["dispatcher"].handlers[0].clones == {"/vms/1/disk": "pool://gold/noble"}
    assert bare(page_s_example()) == bare(ast.parse(EXAMPLE))
