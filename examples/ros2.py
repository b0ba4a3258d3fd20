"""Emotion events on a ROS 2 topic: python examples/ros2.py [ENDPOINT]

Needs a sourced ROS 2 (rclpy, std_msgs). Each event is published as JSON on `edgeser/emotion`;
`ros2 topic echo /edgeser/emotion` shows them. Not run by edgeser's tests: ROS 2 comes from neither
PyPI nor Debian.
"""

import sys

import rclpy
from std_msgs.msg import String

import edgeser

rclpy.init()
node = rclpy.create_node("edgeser")
publisher = node.create_publisher(String, "edgeser/emotion", 10)
subscriber = edgeser.Subscriber(*sys.argv[1:2], topics=["emotion."], timeout_s=0.5)
while rclpy.ok():
    try:
        if not isinstance(next(subscriber), edgeser.Gap):
            publisher.publish(String(data=subscriber.payload.decode()))
    except TimeoutError:
        continue
