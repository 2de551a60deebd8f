"""The diagrams of the documentation: the nodes of a swarm, and how work flows with each scheduling policy."""

from __future__ import annotations

from tools.figures.drawing import BLUE, GREEN, ORANGE, Arrow, Box, Point, draw


def nodes_diagram() -> str:
    """Applications, a master with the hosts of task systems, and slaves with their workers."""
    application = Box(
        20, 60, 190, 116, ["application", "pushes tasks or a", "task system;", "handlers are notified"], BLUE
    )
    script = Box(20, 206, 190, 82, ["script or notebook", "futures: the one place", "where anybody waits"], BLUE)
    master = Box(
        320, 60, 220, 116, ["master", "registers nodes, keeps", "every task's state,", "decides, notifies"], ORANGE
    )
    host = Box(320, 236, 220, 82, ["host", "one task system: it makes", "tasks, hears of results"], ORANGE)
    slaves = [
        Box(640, y, 256, 130, [name, "one worker process a core:"], GREEN)
        for name, y in (("slave", 30), ("slave", 200))
    ]
    workers = [
        Box(slave.x + 14 + 78 * number, slave.y + 66, 72, 46, ["worker"])
        for slave in slaves
        for number in range(3)
    ]
    arrows = [
        Arrow([application.at(1, 0.35), master.at(0, 0.35)], text="tasks"),
        Arrow([master.at(0, 0.7), application.at(1, 0.7)], text="results", is_dashed=True),
        Arrow([script.at(1, 0.4), Point(265, script.at(1, 0.4).y), Point(265, 158), master.at(0, 0.845)]),
        Arrow([host.at(0.3, 0), master.at(0.3, 1)], text="tasks"),
        Arrow([master.at(0.65, 1), host.at(0.65, 0)], text="results", is_dashed=True),
        Arrow([Point(540, 95), slaves[0].at(0, 0.5)]),
        Arrow([master.at(1, 0.7), Point(595, master.at(1, 0.7).y), Point(595, 265), slaves[1].at(0, 0.5)]),
    ]
    boxes = [application, script, master, host, *slaves, *workers]
    return draw("Applications, a master and its slaves", (916, 350), boxes, arrows)


def generic_flow() -> str:
    """The aimed policy: a strategy rates the slaves, the scheduler sends to the best one."""
    owner = Box(20, 90, 150, 82, ["owner", "application or", "task system"], BLUE)
    scheduler = Box(
        290,
        70,
        230,
        122,
        ["GenericTaskScheduler", "whose turn it is: fair share,", "priority; takes work back", "from slow slaves"],
        ORANGE,
    )
    strategy = Box(290, 258, 230, 66, ["GenericTaskScheduleStrategy", "rates each slave that has room"], ORANGE)
    fast = Box(690, 30, 220, 82, ["GenericTaskManager", "of a fast slave:", "many chunks"], GREEN)
    slow = Box(690, 190, 220, 82, ["GenericTaskManager", "of a slow slave:", "few chunks"], GREEN)
    arrows = [
        Arrow([owner.at(1, 0.3), Point(290, owner.at(1, 0.3).y)], 1, "push"),
        Arrow([scheduler.at(0.35, 1), strategy.at(0.35, 0)], 2, "who?"),
        Arrow([strategy.at(0.75, 0), scheduler.at(0.75, 1)], 3, "ratings", is_dashed=True),
        Arrow([scheduler.at(1, 0.2), Point(605, scheduler.at(1, 0.2).y), Point(605, 50), Point(690, 50)], 4),
        Arrow([scheduler.at(1, 0.8), Point(575, scheduler.at(1, 0.8).y), Point(575, 250), Point(690, 250)], 4),
        Arrow([Point(690, 90), Point(640, 90), Point(640, 118), Point(520, 118)], 5, is_dashed=True),
        Arrow([Point(690, 210), Point(640, 210), Point(640, 146), Point(520, 146)], 5, is_dashed=True),
        Arrow([Point(290, owner.at(1, 0.8).y), owner.at(1, 0.8)], 6, "notification", is_dashed=True),
    ]
    return draw(
        "Work flows from the scheduler to the slave that a strategy chose",
        (930, 345),
        [owner, scheduler, strategy, fast, slow],
        arrows,
    )


def pushpull_flow() -> str:
    """The push/pull policy: one global work socket, from which idle slaves help themselves."""
    owner = Box(20, 100, 150, 82, ["owner", "application or", "task system"], BLUE)
    scheduler = Box(
        290,
        70,
        200,
        142,
        [
            "ZMQTaskScheduler",
            "orders work before",
            "the socket; never more",
            "on it than slaves have",
            "announced room for",
        ],
        ORANGE,
    )
    socket = Box(590, 90, 110, 66, ["work socket", "PUSH"], ORANGE)
    slaves = [Box(800, y, 190, 66, ["ZMQTaskManager", "PULL, when it has room"], GREEN) for y in (20, 110, 200)]
    arrows = [
        Arrow([owner.at(1, 0.3), Point(290, owner.at(1, 0.3).y)], 1, "push"),
        Arrow([Point(490, 123), socket.at(0, 0.5)], 2),
        *(
            Arrow(
                [socket.at(1, 0.5), Point(750, 123), Point(750, slave.at(0, 0.5).y), slave.at(0, 0.5)],
                3 * (slave is slaves[1]),
            )
            for slave in slaves
        ),
        Arrow(
            [slaves[2].at(0.5, 1), Point(895, 300), Point(390, 300), scheduler.at(0.5, 1)],
            4,
            "claims, then results",
            is_dashed=True,
        ),
        Arrow([Point(290, owner.at(1, 0.8).y), owner.at(1, 0.8)], 5, "notification", is_dashed=True),
    ]
    return draw(
        "Slaves pull work from one global socket", (1010, 330), [owner, scheduler, socket, *slaves], arrows
    )
