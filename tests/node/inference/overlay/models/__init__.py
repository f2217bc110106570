"""Lies in front of the real `models` on a test worker's path and adds a pipeline to it."""

from pkgutil import extend_path

__path__ = extend_path(__path__, __name__)
