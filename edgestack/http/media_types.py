"""Which media type a file name means: our own pinned table, the same on every machine (criterion C12).

Data and one lookup. The system's mime.types and the standard library's `mimetypes` are not asked: they differ between
machines, and on a bare one know neither woff2 nor webp. Types come from the IANA registry, text/javascript from
RFC 9239, text/markdown from RFC 7763, font/* from RFC 8081. `text/*` is sent as UTF-8; JSON has no charset parameter
(RFC 8259 §11), and XML says its own encoding (RFC 7303 §3.2).
"""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["MEDIA_TYPES", "UNKNOWN", "media_type"]

UNKNOWN = "application/octet-stream"
"""For a name that says nothing; goes with `X-Content-Type-Options: nosniff`, so that no browser guesses."""

_TABLE = """
application/atom+xml                    atom
application/dash+xml                    mpd
application/epub+zip                    epub
application/geo+json                    geojson
application/gpx+xml                     gpx
application/gzip                        gz tgz
application/java-archive                jar
application/json                        json map topojson
application/jsonl                       jsonl ndjson
application/ld+json                     jsonld
application/manifest+json               webmanifest
application/msword                      doc
application/pdf                         pdf
application/pgp-signature               asc sig
application/postscript                  ps eps ai
application/rss+xml                     rss
application/rtf                         rtf
application/sql                         sql
application/toml                        toml
application/vnd.android.package-archive apk
application/vnd.apple.mpegurl           m3u8
application/vnd.debian.binary-package   deb
application/vnd.google-earth.kml+xml    kml
application/vnd.google-earth.kmz        kmz
application/vnd.ms-excel                xls
application/vnd.ms-fontobject           eot
application/vnd.ms-powerpoint           ppt
application/vnd.oasis.opendocument.presentation odp
application/vnd.oasis.opendocument.spreadsheet  ods
application/vnd.oasis.opendocument.text odt
application/vnd.openxmlformats-officedocument.presentationml.presentation pptx
application/vnd.openxmlformats-officedocument.spreadsheetml.sheet         xlsx
application/vnd.openxmlformats-officedocument.wordprocessingml.document   docx
application/vnd.rar                     rar
application/vnd.sqlite3                 sqlite sqlite3
application/wasm                        wasm
application/x-7z-compressed             7z
application/x-bzip2                     bz2
application/x-iso9660-image             iso
application/x-rpm                       rpm
application/x-sh                        sh
application/x-tar                       tar
application/x-x509-ca-cert              crt der pem
application/x-xz                        xz
application/xhtml+xml                   xhtml
application/xml                         xml xsd xsl
application/xslt+xml                    xslt
application/yaml                        yaml yml
application/zip                         zip
application/zstd                        zst
audio/aac                               aac
audio/flac                              flac
audio/matroska                          mka
audio/midi                              mid midi
audio/mp4                               m4a
audio/mpeg                              mp3
audio/ogg                               ogg oga opus
audio/wav                               wav
audio/webm                              weba
font/collection                         ttc
font/otf                                otf
font/ttf                                ttf
font/woff                               woff
font/woff2                              woff2
image/apng                              apng
image/avif                              avif
image/bmp                               bmp
image/gif                               gif
image/heic                              heic
image/heif                              heif
image/jpeg                              jpg jpeg jpe
image/jxl                               jxl
image/ktx2                              ktx2
image/png                               png
image/svg+xml                           svg
image/tiff                              tif tiff
image/vnd.microsoft.icon                ico cur
image/webp                              webp
model/gltf+json                         gltf
model/gltf-binary                       glb
model/obj                               obj
model/stl                               stl
model/vnd.usdz+zip                      usdz
text/calendar                           ics ifb
text/css                                css
text/csv                                csv
text/html                               html htm
text/javascript                         js mjs cjs
text/markdown                           md markdown
text/plain                              txt text log conf ini cfg diff patch rst lock
text/plain                              c h cc cpp hpp go java py pyi rs scss sass less
text/tab-separated-values               tsv
text/turtle                             ttl
text/vcard                              vcf vcard
text/vtt                                vtt
video/3gpp                              3gp
video/matroska                          mkv
video/mp2t                              ts m2ts
video/mp4                               mp4 m4v
video/mpeg                              mpeg mpg
video/ogg                               ogv
video/quicktime                         mov qt
video/webm                              webm
video/x-msvideo                         avi
"""
"""One type a line, then the extensions that mean it."""


def _with_charset(name: str) -> str:
    return f"{name}; charset=utf-8" if name.startswith("text/") and ";" not in name else name


MEDIA_TYPES: Mapping[str, str] = {
    extension: _with_charset(name) for name, *extensions in map(str.split, _TABLE.split("\n")[1:-1])
    for extension in extensions
}  # fmt: skip
"""Extension in lower case, without its dot -> the whole Content-Type."""


def media_type(filename: str, extra: Mapping[str, str] | None = None) -> str:
    """The Content-Type of a file called `filename`; `UNKNOWN` where its extension is not known.

    :param filename: a name or a path; only what follows the last dot of its last segment counts, in any case.
    :param extra: extensions (lower case, without a dot) of the user's own; they go before the table. Text types that
        name no charset get UTF-8 here too.
    """
    stem, dot, extension = filename.rpartition("/")[2].rpartition(".")
    if not dot or not stem:
        return UNKNOWN
    extension = extension.lower()
    if extra and extension in extra:
        return _with_charset(extra[extension])
    return MEDIA_TYPES.get(extension, UNKNOWN)
