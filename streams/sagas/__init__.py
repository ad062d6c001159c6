"""Sagas: facts that go into several stores, in all of them or in none.

`definition` declares the steps, `kinds` what begins a saga, `declared` those of this project. `state` is what is known
of one saga, `machine` decides what happens next, `commands` what operators ask for. `line` has the sagas of one subject
follow each other, `timers` says when they are due, `batch` takes the records that a coordinator reads. All of it is
pure: time comes in as a number, and what is to be done comes out as effects. `streams.agents.sagas` carries it out.
"""
