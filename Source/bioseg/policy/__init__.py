"""Decisions as pure functions: numbers in, a verdict with its reason out."""
