"""Tables."""

from striate.result import html_table, text_table


def test_text_table_flushes_numbers_right():
    assert text_table(["layer", "params"], [["conv", 156], ["fc", "10,164"]]) == (
        "layer  params\nconv      156\nfc     10,164"
    )


def test_html_table_escapes():
    assert "<b>" not in html_table(["a"], [["<b>"]])
    assert "&lt;b&gt;" in html_table(["a"], [["<b>"]])
