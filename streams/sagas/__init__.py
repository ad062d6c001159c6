"""Sagas: facts that go into several stores, in all of them or in none.

`definition` declares the steps, `state` is what is known of one saga, `machine` decides what happens next. All three
are pure: time comes in as a number, and what is to be done comes out as effects.
"""
