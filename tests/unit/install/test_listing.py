"""Listings, the nasty ones too. Literals only."""

from __future__ import annotations

import json

import pytest

from provision.install.listing import (
    MalformedListingError,
    parse_folder,
    parse_html,
    parse_json,
    parse_listing,
)

AT = "https://host/whl/cpu/torch/"
SHA = "ab" * 32


def names(files):
    return [file.filename for file in files]


def test_page_of_the_pytorch_index():
    text = f"""<!DOCTYPE html><html><body><h1>Links for torch</h1>
    <a href="/whl/cpu/torch-2.9.1%2Bcpu-cp311-cp311-manylinux_2_28_x86_64.whl#sha256={SHA}"
       data-requires-python="&gt;=3.10" data-dist-info-metadata="sha256=00">torch-2.9.1+cpu</a><br/>
    <a href="../x/torch-2.8.0-cp311-none-any.whl" data-yanked="broken">old</a></body></html>"""
    first, second = parse_html(text, address=AT)
    assert first.filename == "torch-2.9.1+cpu-cp311-cp311-manylinux_2_28_x86_64.whl"
    assert first.url == "https://host/whl/cpu/torch-2.9.1%2Bcpu-cp311-cp311-manylinux_2_28_x86_64.whl"
    assert (first.sha256, first.requires_python, first.is_yanked) == (SHA, ">=3.10", False)
    assert (second.url, second.sha256, second.is_yanked) == (
        "https://host/whl/cpu/x/torch-2.8.0-cp311-none-any.whl",
        None,
        True,
    )


@pytest.mark.parametrize(
    "link",
    [
        "javascript:alert(1).whl",
        "ftp://host/torch-1-py3-none-any.whl",
        "https://host/a%2Ftorch-1-py3-none-any.whl",
        "https://host/..%5Ctorch-1-py3-none-any.whl",
        "https://host/torch-1%0A-py3-none-any.whl",
        "https://host/.torch-1-py3-none-any.whl",
        "http://[broken/torch-1-py3-none-any.whl",
        "https://host/" + "t" * 300 + ".whl",
        "readme.html",
        "",
    ],
)
def test_links_that_offer_nothing(link):
    assert parse_html(f'<a href="{link}">x</a>', address=AT) == ()


def test_base_element_and_bad_hashes():
    text = '<base href="https://cdn/f/"><a href="a-1-py3-none-any.whl#sha256=zz&amp;md5=1">a</a>'
    (file,) = parse_html(text, address=AT)
    assert (file.url, file.sha256) == ("https://cdn/f/a-1-py3-none-any.whl", None)


def test_entities_of_the_document_are_not_expanded():
    text = '<!DOCTYPE x [<!ENTITY a "b"><!ENTITY c SYSTEM "file:///etc/passwd">]><a href="&c;-1-py3-none-any.whl">x</a>'
    assert all("passwd" not in file.url for file in parse_html(text, address=AT))


@pytest.mark.parametrize(
    ("text", "kind", "reason"),
    [
        ("<html><form action='/login'><input></form></html>", "text/html", "sign-in page"),
        ("upstream said no", "text/plain", "plain text"),
        ("PK\x03\x04", "application/zip", "it is application/zip"),
        ("{", "application/vnd.pypi.simple.v1+json", "it is not JSON"),
        ("[" * 100_000, "application/json", "it is not JSON"),
        ("[]", "application/json", "meta.api-version is None"),
        ('{"meta": {"api-version": "2.0"}, "files": []}', "application/json", "meta.api-version is '2.0'"),
        ('{"meta": {"api-version": "1.0"}, "files": {}}', "application/json", "no list of files"),
    ],
)
def test_what_is_no_listing_is_named(text, kind, reason):
    with pytest.raises(MalformedListingError, match=reason):
        parse_listing(text, content_type=kind, address=AT)


def test_empty_page_holds_nothing():
    assert parse_html("<!DOCTYPE html><html><body></body></html>", address=AT) == ()


def test_json_document():
    files = [
        {"filename": "torch-1-py3-none-any.whl", "url": "f.whl", "hashes": {"sha256": SHA.upper()}, "size": 7},
        {"filename": "torch-2-py3-none-any.whl", "url": "f.whl", "hashes": [], "size": "7", "yanked": "why"},
        {"filename": "../torch-3-py3-none-any.whl", "url": "f.whl"},
        {"filename": 3, "url": "f.whl"},
        "torch",
    ]
    document = {"meta": {"api-version": "1.3"}, "files": files}
    first, second = parse_json(json.dumps(document), address=AT)
    assert (first.url, first.sha256, first.size_bytes) == (AT + "f.whl", SHA, 7)
    assert (second.sha256, second.size_bytes, second.is_yanked) == (None, None, True)


def test_folder():
    entries = [("torch-2.13.0+cpu-cp311-cp311-linux_x86_64.whl", 5), ("notes.txt", 1), (".hidden.whl", 1)]
    (file,) = parse_folder(entries, address="file:///w")
    assert (file.url, file.size_bytes) == ("file:///w/torch-2.13.0+cpu-cp311-cp311-linux_x86_64.whl", 5)
