"""What ways to offload take, many at once: a room for each part of the flow shop, `timing` on top.

What a path takes by itself stands in tables (`loads`), which also bound what ways take (`bounds`).
In the order of their turns (`turns`) paths lack what others have not brought (`strips`); the
picture is handed out (`picture`), paths travel (`links`) and are served (`serving`), and the result
is gathered (`ending`).
"""
