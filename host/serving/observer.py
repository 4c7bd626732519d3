"""Observers, which are notified of what happens on clusters: metrics, and the page's live view."""

from __future__ import annotations

from host.generation.generator import Generation
from host.launch import OpenCluster
from host.serving.job import Job


class Observer:
    """Is notified of what happens on a cluster, in that cluster's thread; ignores it."""

    def cluster_opened(self, name: str, cluster: OpenCluster, note: str) -> None:
        """A cluster was opened, for the first time or again; note: what is open in place of its
        own chips, "" if these are open themselves."""

    def cluster_failed(self, name: str, error: str) -> None:
        """A cluster failed, or could not be opened."""

    def job_started(self, name: str, job: Job) -> None:
        """A job was given a slot."""

    def token(self, name: str, job: Job) -> None:
        """A job has one more token."""

    def job_ended(self, name: str, job: Job, generation: Generation) -> None:
        """A job has all its tokens."""


class Observers(Observer):
    """Notifies several observers."""

    def __init__(self, *observers: Observer) -> None:
        self._observers = observers

    def cluster_opened(self, name: str, cluster: OpenCluster, note: str) -> None:
        for each in self._observers:
            each.cluster_opened(name, cluster, note)

    def cluster_failed(self, name: str, error: str) -> None:
        for each in self._observers:
            each.cluster_failed(name, error)

    def job_started(self, name: str, job: Job) -> None:
        for each in self._observers:
            each.job_started(name, job)

    def token(self, name: str, job: Job) -> None:
        for each in self._observers:
            each.token(name, job)

    def job_ended(self, name: str, job: Job, generation: Generation) -> None:
        for each in self._observers:
            each.job_ended(name, job, generation)
