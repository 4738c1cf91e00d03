# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from output_samples import UTC_CONTEXT, read_line

from panorama.output.context import Context
from panorama.output.formats import FORMATS, formatter
from panorama.output.identity import Identity, identity, structured_data
from panorama.output.notice import notice
from panorama.sinks.rfc5424 import Messages

WITH_IDENTITY = ("json", "ecs", "cef", "ocsf")
CHAINED = read_line(previous=4, chain="c0de")
IDENTITY = Identity("ep1", "b1", 7, 4, "c0de")

# as rsyslog and syslog-ng write them to a file, and as they come over the network
HEADERS = [
    "",
    "<30>panorama[12]: ",
    "Apr  2 16:52:27 ep1 panorama[12]: ",
    "2026-04-02T16:52:27.276747+00:00 ep1 panorama[12]: ",
    "<30>1 2026-04-02T16:52:27.276747Z ep1 panorama 12 - - ",
    '<30>1 2026-04-02T16:52:27.276747Z ep1 panorama 12 file [timeQuality tzKnown="1"][meta x="\\]\\""] \ufeff',
]


@pytest.mark.parametrize("format_name", WITH_IDENTITY)
@pytest.mark.parametrize("header", HEADERS)
def test_a_line_is_known_behind_every_header(format_name: str, header: str) -> None:
    [text] = FORMATS[format_name](CHAINED, UTC_CONTEXT)
    assert identity(f"{header}{text}\n") == IDENTITY
    [text] = FORMATS[format_name](read_line(), UTC_CONTEXT)
    assert identity(header + text) == Identity("ep1", "b1", 7, None, "")


@pytest.mark.parametrize("format_name", ["text", "json", "v6"])
def test_a_syslog_message_has_it_in_its_structured_data_whatever_its_format(format_name: str) -> None:
    """As the syslog sinks write it, and with elements of relays before it."""
    [data] = Messages(formatter(format_name, UTC_CONTEXT), UTC_CONTEXT, "daemon", 8096)(CHAINED)
    assert identity(data.decode()) == IDENTITY
    relayed = data.decode().replace(" [panorama", ' [x y="[panorama@32473 boot=\\"b2\\" sequence=\\"9\\"\\]"][panorama')
    assert relayed != data.decode()
    assert identity(relayed) == IDENTITY


@pytest.mark.parametrize("host", ["ep1", 'e"p]1\\', "ép 1"])
def test_the_host_in_structured_data_counts_more_than_that_of_the_header(host: str) -> None:
    element = structured_data(CHAINED, replace(UTC_CONTEXT, host=host))
    assert identity(f"<30>1 - relay panorama 12 - {element} text") == replace(IDENTITY, host=host)
    element = structured_data(CHAINED, UTC_CONTEXT).replace(' host="ep1"', "")
    assert identity(f"<30>1 - ep2 panorama 12 - {element} text") == replace(IDENTITY, host="ep2")


def test_structured_data_is_written_as_the_standard_says() -> None:
    context = Context(host='e"]\\\n', boot_id="b1")
    assert structured_data(CHAINED, context) == (
        '[panorama@32473 host="e\\"\\]\\\\_" boot="b1" sequence="7" previous="4" chain="c0de"]'
    )
    assert structured_data(read_line(sequence=0), context) == "-"


@pytest.mark.parametrize("format_name", WITH_IDENTITY)
def test_a_line_without_number_boot_or_host_has_none(format_name: str) -> None:
    for line, context in (
        (read_line(sequence=0), UTC_CONTEXT),
        (read_line(), replace(UTC_CONTEXT, host="")),
        (read_line(), replace(UTC_CONTEXT, boot_id="")),
    ):
        [text] = FORMATS[format_name](line, context)
        assert identity(text) is None


@pytest.mark.parametrize("format_name", WITH_IDENTITY)
def test_notices_have_one_too(format_name: str) -> None:
    said = notice(1, "lost", "5 events")
    said.sequence = 8
    [text] = FORMATS[format_name](said, UTC_CONTEXT)
    assert identity(text) == Identity("ep1", "b1", 8)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "{}",
        "[]",
        '{"schema":"panorama/1"}',
        '{"schema":"panorama/1","host":"h","boot_id":"b","sequence":true}',
        '{"schema":"panorama/1","host":"h","boot_id":"b","sequence":"' + "9" * 5000 + '"}',
        '{"schema":"panorama/1","host":["h"],"boot_id":"b","sequence":1}',
        '{"schema":"other/1","host":"h","boot_id":"b","sequence":1}',
        '{"event":{"module":"auditd","sequence":1},"host":{"name":"h","boot":{"id":"b"}}}',
        '{"a":' * 100_000,
        "CEF:0|Panorama|Panorama|1|x|x|1",
        "CEF:0|Other|Other|1|x|x|1|dvchost=h PanoramaBootId=b externalId=1",
        "CEF:0|Panorama|Panorama|1|x|x|1|dvchost=\\\\Uffffffff PanoramaBootId=b externalId=1",
        "<30>1 - ep1 panorama 12 - [panorama@32473 host=\"h\" boot=\"b\" sequence=\"x\"] text",
        '<30>1 - ep1 other 12 - [panorama@32473 host="h" boot="b" sequence="1"] text',
        "Apr  2 16:52:27 ep1 other[12]: CEF:0|Panorama|Panorama|1|x|x|1|dvchost=h PanoramaBootId=b externalId=1",
    ],
)  # fmt: skip
def test_what_is_no_line_of_ours_has_none(text: str) -> None:
    assert identity(text) is None


@given(st.sampled_from(WITH_IDENTITY), st.sampled_from(HEADERS), st.integers(0, 1500), st.text())
def test_a_damaged_line_raises_nothing(format_name: str, header: str, at: int, rubbish: str) -> None:
    [text] = FORMATS[format_name](read_line(), UTC_CONTEXT)
    whole = header + text
    for damaged in (whole[:at], whole[:at] + rubbish, whole[:at] + rubbish + whole[at:], rubbish):
        found = identity(damaged)
        assert found is None or isinstance(found, Identity)


def test_a_line_that_a_receiver_wrote_anew_is_known_as_long_as_the_keys_are() -> None:
    [text] = FORMATS["ecs"](CHAINED, UTC_CONTEXT)
    again = json.dumps(dict(reversed(json.loads(text).items())) | {"tags": ["x"]}, indent=1).replace("\n", " ")
    assert identity(again) == IDENTITY
