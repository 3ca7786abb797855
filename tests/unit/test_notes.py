from phenorep import notes


def test_a_note_is_kept_once_and_said_once(capsys):
    with notes.kept() as said:
        for _ in range(2):
            notes.say("a blank was taken off")
            notes.warn("doses are lost")
    assert said == [{"text": "a blank was taken off", "check": False}, {"text": "doses are lost", "check": True}]
    assert capsys.readouterr().out == "a blank was taken off\nWARNING: doses are lost\n"


def test_outside_of_a_job_a_note_is_said_each_time(capsys):
    notes.say("x")
    notes.say("x")
    assert capsys.readouterr().out == "x\nx\n"


def test_blocks_within_blocks_keep_a_note_that_is_said_once(capsys):
    with notes.kept() as command:
        notes.say("x")
        for _ in range(2):
            with notes.kept() as step:
                notes.say("x")
                notes.warn("y")
            assert [note["text"] for note in step] == ["x", "y"]
    assert [note["text"] for note in command] == ["x", "y"]
    assert capsys.readouterr().out == "x\nWARNING: y\n"
