"""Pages by position in an order, not by number: bounded however long the list is."""

from rest_framework.pagination import CursorPagination


class NewestFirst(CursorPagination):
    """Calls, newest first."""

    ordering = ("-created_at", "-id")
    page_size = 50
    page_size_query_param = "page_size"
    max_page_size = 100


class NewestOpened(CursorPagination):
    """Proposals, newest first."""

    ordering = ("-opened_at", "-id")
    page_size = 20
    page_size_query_param = "page_size"
    max_page_size = 50


class InOrder(CursorPagination):
    """Events in the order of their stream."""

    ordering = "seq"
    page_size = 100
    page_size_query_param = "page_size"
    max_page_size = 500
