"""Pictures of nets and runs, a file each: a function of the file's name, which gives a `Result`.

`striate see NAME` follows from the function. Its parameters by position say what the command is given: `net` a
NET, `images` FILES as that net takes them (without a net 0 to 1), `run` a RUN, `runs` several, `data` a DATA folder (that
of the run where none is named), `before` and `after` two NETs; another one, of type Tensor, one FILE by its name, of type
Path the path itself. Its keyword parameters are options: their type, their default, and what the docstring says of
them. `shape` is what --input or the net says, `classes` what a run says, `levels` how pictures are normalised for the net.

`striate.see.plates` makes labelled rows of pictures of a result; `paint` colours numbers, `fonts` fits words.

What a result can be written as follows from it too: `picture()` gives .png, `as_svg()` .svg, any of them .html.
"""
