"""XML, JSON, YAML and lines of others: what is in them, and what is refused."""

import time

import pytest

from striate.data import documents
from striate.errors import DataError


def written(tmp_path, content):
    path = tmp_path / "file"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_xml_knows_its_lines(tmp_path):
    root = documents.read_xml(
        written(tmp_path, "<a>\n<b>one &amp; 1</b>\n<c>\n<b/></c><b>2</b></a>")
    )
    assert (root.tag, root.line) == ("a", 1)
    assert [(node.line, node.text) for node in root.all("b")] == [(2, "one & 1"), (4, "2")]
    assert root.word("b") == "one & 1"
    assert (root.word("none"), root.first("none")) == ("", None)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "latin-1"])
def test_xml_in_other_encodings(tmp_path, encoding):
    text = f'<?xml version="1.0" encoding="{encoding}"?><a>é</a>'
    assert documents.read_xml(written(tmp_path, text.encode(encoding))).text == "é"


LAUGHS = '<!DOCTYPE l [<!ENTITY a "ha">' + "".join(
    f'<!ENTITY {b} "{("&" + a + ";") * 10}">' for a, b in zip("abcdefgh", "bcdefghi", strict=True)
)  # a billion of them


@pytest.mark.parametrize(
    ("read", "content", "reason"),
    [
        (documents.read_xml, LAUGHS + "]><l>&i;</l>", r"line 1: a document type \(DOCTYPE\)"),
        (documents.read_xml, '<!DOCTYPE l SYSTEM "file:///etc/passwd"><l/>', "DOCTYPE"),
        (documents.read_xml, "<a>&b;</a>", r"line 1: no sound XML \(undefined entity\)"),
        (documents.read_xml, "<a>\n</b>", r"line 2: no sound XML \(mismatched tag\)"),
        (documents.read_xml, "<a>" * 65, "line 1: more than 64 elements within each other"),
        (documents.read_xml, "<a>" + "<b/>" * 500_001 + "</a>", "line 1: more than 500,000 elements"),
        (documents.read_xml, '<?xml version="1.0" encoding="klingon"?><a/>', "no sound XML"),
        (documents.read_xml, b"\x00\xff" * 9, "no sound XML"),
        (documents.read_json, '{"a":\n1,}', r"line 2: no sound JSON \("),
        (documents.read_json, '{"a": NaN}', r"no sound JSON \(the number NaN\)"),
        (documents.read_json, "[" * 200_000, "nested too deeply"),
        (documents.read_json, b"\xff\xfe\x00", "no sound JSON"),
        (documents.read_json, "9" * 10_000, "no sound JSON"),
        (documents.read_json, "", r"line 1: no sound JSON \(Expecting value\)"),
        (documents.read_yaml, "a: &x [1]\nb: *x", r"line 2: no sound YAML \(an alias"),
        (documents.read_yaml, "a: 1\na: 2", r"line 2: no sound YAML \(the key a for the second time\)"),
        (documents.read_yaml, "[" * 65 + "]" * 65, "more than 64 lists"),
        (documents.read_yaml, "!!python/object/apply:os.system [ls]", "line 1: no sound YAML"),
        (documents.read_yaml, "a: [1", "no sound YAML"),
        (documents.read_yaml, "a: 2020-99-99", "no sound YAML"),
        (documents.read_yaml, "#" * (2**20 + 1), "1,048,577 bytes; the limit is 1,048,576"),
        (documents.read_lines, b"one\n\xff\n", "line 2: no text in UTF-8"),
    ],
)  # fmt: skip
def test_what_is_refused(tmp_path, read, content, reason):
    path = written(tmp_path, content)
    begin = time.process_time()
    with pytest.raises(DataError, match=reason):
        read(path)
    assert time.process_time() - begin < 5


def test_what_is_read(tmp_path):
    assert documents.read_json(written(tmp_path, b'\xef\xbb\xbf{"a": [1, 2.5]}')) == {"a": [1, 2.5]}
    assert documents.read_yaml(written(tmp_path, "a: {0: x, 1: y}\n")) == {"a": {0: "x", 1: "y"}}
    assert documents.read_lines(written(tmp_path, b"\xef\xbb\xbfone\r\n\r\n two \r\n")) == [(1, "one"), (3, "two")]  # fmt: skip


def test_a_limit_of_size(tmp_path):
    with pytest.raises(DataError, match="3 bytes; the limit is 2"):
        documents.read_json(written(tmp_path, "123"), most=2)
