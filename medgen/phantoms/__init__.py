"""Scans whose truth is known at any place."""
